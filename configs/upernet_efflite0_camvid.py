_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/upernet_efflite0.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/efflite_1000.py",
]
model = dict(
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
