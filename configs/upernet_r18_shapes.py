_base_ = [
    "mmseg::_base_/models/upernet_r50.py",
    "./_base_/runtime.py",
    "./_base_/datasets/shapes.py",
    "./_base_/schedules/scratch_400.py",
]
model = dict(
    pretrained=None,
    data_preprocessor=dict(size_divisor=32),
    backbone=dict(depth=18),
    decode_head=dict(in_channels=[64, 128, 256, 512], channels=128, num_classes=_base_.num_classes),
    auxiliary_head=dict(in_channels=256, channels=64, num_classes=_base_.num_classes),
)
