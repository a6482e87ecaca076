_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/perpixel_efflite2.py",
    "./_base_/datasets/camvid_540.py",
    "./_base_/schedules/efflite_4000.py",
]
model = _base_.model_of_data
