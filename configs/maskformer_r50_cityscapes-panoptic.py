_base_ = [
    "./_base_/models/maskformer_r50_panoptic.py",
    "./_base_/datasets/cityscapes_panoptic.py",
    "./_base_/schedules/resnet_90k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
