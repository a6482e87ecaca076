_base_ = [
    "./_base_/models/perpixel_r50.py",
    "./_base_/datasets/ade20k.py",
    "./_base_/schedules/resnet_160k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
