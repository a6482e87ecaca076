_base_ = [
    "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py",
    "./_base_/zoo_variables.py",
]
# In this order; mmseg's config imports mmdet's models only.
custom_imports = dict(imports=["mmmaskformer", "mmdet.models"], allow_failed_imports=False)
model = dict(backbone=dict(init_cfg=_base_.resnet50))
val_evaluator = test_evaluator = _base_.ade20k_evaluator
