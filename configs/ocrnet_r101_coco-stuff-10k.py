_base_ = [
    "./_base_/models/ocrnet_r101.py",
    "./_base_/datasets/coco_stuff_10k.py",
    "mmseg::_base_/schedules/schedule_40k.py",
    "./_base_/runtime.py",
]
heads = [dict(head, num_classes=_base_.num_classes) for head in _base_.model.decode_head]
model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=heads)
