# From the weights trained on ADE20K to your own data. Set num_classes; the classifier starts anew.
_base_ = [
    "./_base_/models/maskformer_swin-t.py",
    "./_base_/datasets/own.py",
    "./_base_/schedules/swin_20k.py",
    "./_base_/runtime.py",
]
model = dict(backbone=dict(init_cfg=None), decode_head=dict(num_classes=3))
load_from = "maskformer_swin-t_ade20k.pth"  # made by tools/convert_weights.py
