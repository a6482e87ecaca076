_base_ = [
    "mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py",
    "./_base_/zoo.py",
]
model = dict(backbone=dict(init_cfg=_base_.resnet50))
val_evaluator = test_evaluator = _base_.ade20k_evaluator
