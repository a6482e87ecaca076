_base_ = [
    "./_base_/models/perpixelplus_r50.py",
    "./_base_/datasets/coco_stuff_10k.py",
    "./_base_/schedules/resnet_60k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
