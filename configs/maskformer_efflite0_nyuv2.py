_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/nyuv2.py",
    "./_base_/schedules/efflite_1000.py",
]
data = _base_.model_of_data
model = dict(data, decode_head=dict(data.decode_head, num_queries=100))
