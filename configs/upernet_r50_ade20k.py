_base_ = [
    "mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.ade20k_evaluator
