_base_ = [
    "mmseg::ocrnet/ocrnet_r101-d8_8xb2-80k_cityscapes-512x1024.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.iou_evaluator
