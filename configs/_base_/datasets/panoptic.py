# What all panoptic datasets share.
_base_ = ["./semantic.py"]
load_panoptic = dict(type="mmmaskformer.LoadPanopticAnnotations", with_ids=True)
test_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="Resize", scale=(2560, 640), keep_ratio=True, backend="pillow"),
    load_panoptic,
    dict(type="mmmaskformer.PackPanopticInputs"),
]
# Not the paper's, which has no panoptic test-time augmentation.
tta_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [load_panoptic],
            [dict(type="mmmaskformer.PackPanopticInputs")],
        ],
    ),
]
val_evaluator = [
    dict(type="mmmaskformer.PanopticQualityMetric"),
    dict(type="mmmaskformer.IoUMetric"),
]
test_evaluator = val_evaluator
