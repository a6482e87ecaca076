_base_ = [
    "mmseg::segformer/segformer_mit-b5_8xb2-160k_ade20k-640x640.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.ade20k_evaluator
