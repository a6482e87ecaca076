# From the weights trained on COCO panoptic to your own data. Set the classes and which are things.
_base_ = [
    "./_base_/models/maskformer_r50_panoptic.py",
    "./_base_/datasets/own_panoptic.py",
    "./_base_/schedules/resnet_20k.py",
    "./_base_/runtime.py",
]
model = dict(
    backbone=dict(init_cfg=None),
    decode_head=dict(num_classes=3, isthing=[True, True, False]),
)
load_from = "maskformer_r50_coco-panoptic.pth"  # made by tools/convert_weights.py
