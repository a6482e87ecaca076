# The same model, data and recipe with mmdet's samples, hooks and visualizer.
_base_ = ["./maskformer_r18_shapes-panoptic.py", "./_base_/mmdet.py"]
default_scope = "mmdet"
model = _base_.detector
# Packing is the last step.
train_pipeline = [*_base_.train_pipeline[:-1], _base_.detector_pack]
test_pipeline = [*_base_.test_pipeline[:-1], _base_.detector_pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = val_evaluator = _base_.detector_evaluator
default_hooks = _base_.detector_hooks
visualizer = _base_.detector_visualizer
tta_model = None
