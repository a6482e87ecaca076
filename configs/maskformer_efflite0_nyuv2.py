_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/nyuv2.py",
    "./_base_/schedules/efflite_1000.py",
]
model = dict(
    _base_.model_of_data,
    decode_head=dict(_base_.model_of_data.decode_head, num_queries=100),
)
