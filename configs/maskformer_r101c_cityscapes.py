_base_ = [
    "./_base_/models/maskformer_r101c.py",
    "./_base_/datasets/cityscapes.py",
    "./_base_/schedules/resnet_90k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
