# From the weights trained on ADE20K to your own data. Set num_classes; the classifier starts anew.
_base_ = [
    "./_base_/models/maskformer_r50.py",
    "./_base_/datasets/own.py",
    "./_base_/schedules/resnet_20k.py",
    "./_base_/runtime.py",
]
model = dict(backbone=dict(init_cfg=None), decode_head=dict(num_classes=3))
load_from = "maskformer_r50_ade20k.pth"  # made by tools/convert_weights.py
