# The data and schedule of mmseg's other OCRNets on ADE20K.
_base_ = [
    "./_base_/models/ocrnet_r101.py",
    "mmseg::_base_/datasets/ade20k.py",
    "mmseg::_base_/schedules/schedule_160k.py",
    "mmseg::_base_/default_runtime.py",
    "./_base_/zoo.py",
]
heads = [dict(head, num_classes=150) for head in _base_.model.decode_head]
model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=heads)
val_evaluator = test_evaluator = _base_.ade20k_evaluator
