_base_ = [
    "./_base_/models/maskformer_swin-s.py",
    "./_base_/datasets/ade20k.py",
    "./_base_/schedules/swin_160k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
