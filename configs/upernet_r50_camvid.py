_base_ = [
    "mmseg::_base_/models/upernet_r50.py",
    "./_base_/runtime.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
model = dict(
    pretrained=None,
    data_preprocessor=dict(size_divisor=32),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
