# What makes mmdet's detector of a panoptic config: samples, hooks and visualizer.
detector = dict(
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
detector_pack = dict(type="mmmaskformer.PackPanopticDetInputs")
detector_evaluator = [dict(type="mmmaskformer.PanopticQualityMetric")]
detector_hooks = dict(visualization=dict(type="DetVisualizationHook"))
detector_visualizer = dict(type="mmmaskformer.PanopticDetVisualizer", alpha=0.6)
