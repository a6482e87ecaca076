_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/warmup_1000.py",
]
model = _base_.model_of_data
