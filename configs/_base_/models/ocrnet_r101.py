# The model of mmseg's ocrnet_r101-d8 configs, all of which are for Cityscapes.
_base_ = ["mmseg::_base_/models/ocrnet_r50-d8.py"]
model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
