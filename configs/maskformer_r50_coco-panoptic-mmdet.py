# The same model, data and recipe with mmdet's samples, hooks and visualizer.
_base_ = ["./maskformer_r50_coco-panoptic.py"]
default_scope = "mmdet"
model = dict(
    type="mmmaskformer.MaskFormerDetector",
    data_preprocessor=dict(
        _delete_=True,
        type="mmmaskformer.MaskFormerDetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    test_cfg=dict(_delete_=True, panoptic_on=True),
)
train_dataloader = _base_.train_dataloader
test_dataloader = val_dataloader = _base_.val_dataloader
for loader in (train_dataloader, val_dataloader):
    loader.dataset.pipeline[-1] = dict(type="mmmaskformer.PackPanopticDetInputs")
del loader
test_evaluator = val_evaluator = [dict(type="mmmaskformer.PanopticQualityMetric")]
default_hooks = dict(visualization=dict(type="DetVisualizationHook"))
visualizer = dict(type="mmmaskformer.PanopticDetVisualizer")
tta_model = None
