_base_ = [
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.iou_evaluator
