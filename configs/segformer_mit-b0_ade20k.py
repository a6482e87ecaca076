_base_ = [
    "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.ade20k_evaluator
