_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/perpixel_efflite2.py",
    "./_base_/datasets/nyuv2_480.py",
    "./_base_/schedules/efflite_2000.py",
]
model = _base_.model_of_data
