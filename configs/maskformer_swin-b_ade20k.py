_base_ = [
    "./_base_/models/maskformer_swin-b.py",
    "./_base_/datasets/ade20k_640.py",
    "./_base_/schedules/swin_160k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
