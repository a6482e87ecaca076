_base_ = [
    "./_base_/models/maskformer_r101.py",
    "./_base_/datasets/ade20k_full.py",
    "./_base_/schedules/resnet_200k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
