# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./semantic.py"]
crop_size = (512, 512)
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[(2048, int(512 * 0.1 * i)) for i in range(5, 21)],
        resize_type="mmmaskformer.AntialiasResize",
        keep_ratio=True,
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0),
    dict(type="PhotoMetricDistortion"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=255)),
    dict(type="PackSegInputs"),
]
test_resize = dict(type="Resize", scale=(2048, 512), keep_ratio=True, backend="pillow")
test_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    test_resize,
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    # The original augments the image that is already resized for testing.
    test_resize,
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(3584, s), keep_ratio=True, backend="pillow")
                for s in (256, 384, 512, 640, 768, 896)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="mmmaskformer.LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
dataset = dict(type="ADE20KDataset", data_root="data/ade/ADEChallengeData2016")
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
        **dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="mmmaskformer.SceneParsingMetric"),
    dict(type="mmmaskformer.SemanticPQMetric"),
]
test_evaluator = val_evaluator
