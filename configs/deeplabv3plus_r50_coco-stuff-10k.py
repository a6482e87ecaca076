_base_ = [
    "mmseg::_base_/models/deeplabv3plus_r50-d8.py",
    "./_base_/datasets/coco_stuff_10k.py",
    "mmseg::_base_/schedules/schedule_40k.py",
    "./_base_/runtime.py",
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
