_base_ = [
    "./_base_/models/maskformer_r50.py",
    "./_base_/datasets/mapillary.py",
    "./_base_/schedules/resnet_300k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
