# From ImageNet to your own data, small enough for a CPU. Set num_classes.
_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/own_small.py",
    "./_base_/schedules/efflite_1000.py",
]
model = dict(decode_head=dict(num_classes=3))
