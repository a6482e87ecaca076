_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite2.py",
    "./_base_/datasets/nyuv2_480.py",
    "./_base_/schedules/efflite_2000.py",
]
model = dict(
    _base_.model_of_data,
    decode_head=dict(_base_.model_of_data.decode_head, num_queries=100),
)
