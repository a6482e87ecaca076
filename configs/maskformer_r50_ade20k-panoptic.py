_base_ = [
    "./_base_/models/maskformer_r50_panoptic.py",
    "./_base_/datasets/ade20k_panoptic.py",
    "./_base_/schedules/resnet_720k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
