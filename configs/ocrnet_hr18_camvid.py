_base_ = [
    "mmseg::_base_/models/ocrnet_hr18.py",
    "./_base_/runtime.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
heads = [dict(head, num_classes=_base_.num_classes) for head in _base_.model.decode_head]
model = dict(pretrained=None, data_preprocessor=dict(size_divisor=32), decode_head=heads)
