_base_ = [
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.ade20k_evaluator
