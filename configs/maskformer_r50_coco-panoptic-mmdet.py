# The same model, data and recipe with mmdet's samples, hooks and visualizer; packing is last.
_base_ = ["./maskformer_r50_coco-panoptic.py", "./_base_/mmdet.py"]
default_scope = "mmdet"
model = _base_.detector
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:-1], _base_.detector_pack]))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.test_pipeline[:-1], _base_.detector_pack]))
test_dataloader = val_dataloader
test_evaluator = val_evaluator = _base_.detector_evaluator
default_hooks = _base_.detector_hooks
visualizer = _base_.detector_visualizer
tta_model = None
