# The data and schedule of mmseg's other OCRNets on ADE20K.
_base_ = [
    "./_base_/models/ocrnet_r101.py",
    "mmseg::_base_/datasets/ade20k.py",
    "mmseg::_base_/schedules/schedule_160k.py",
    "mmseg::_base_/default_runtime.py",
    "./_base_/zoo.py",
]
heads = _base_.model.decode_head
heads[0].num_classes = heads[1].num_classes = 150
model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=heads)
val_evaluator = test_evaluator = _base_.ade20k_evaluator
