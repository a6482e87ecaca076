_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0_panoptic.py",
    "./_base_/models/small_head.py",
    "./_base_/datasets/shapes_panoptic.py",
    "./_base_/schedules/efflite_400.py",
]
model = dict(
    backbone=_base_.learning_norms,
    decode_head=dict(_base_.model_of_data.decode_head, **_base_.small_head),
)
