_base_ = [
    "mmseg::swin/swin-large-patch4-window12-in22k-384x384-pre_upernet_8xb2-160k_ade20k-512x512.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.ade20k_evaluator
