_base_ = [
    "mmseg::ocrnet/ocrnet_hr48_4xb4-160k_ade20k-512x512.py",
    "./_base_/zoo.py",
]
val_evaluator = test_evaluator = _base_.ade20k_evaluator
