_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/upernet_efflite0.py",
    "./_base_/datasets/shapes.py",
    "./_base_/schedules/efflite_400.py",
]
model = dict(
    backbone=_base_.learning_norms,
    decode_head=dict(channels=128, num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
