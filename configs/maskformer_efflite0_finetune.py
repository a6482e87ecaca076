# From ImageNet to your own data, small enough for a CPU. Set num_classes, and more queries for more
# than 50 classes: fixed matching learns sooner, and needs a query for every class.
_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/own_small.py",
    "./_base_/schedules/efflite_1000.py",
]
model = dict(decode_head=dict(num_classes=3, assigner=dict(type="FixedAssigner")))
