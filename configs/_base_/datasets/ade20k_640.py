# ADE20K at crop size 640, the resolution of the larger Swin models.
_base_ = ["./ade20k.py"]
crop_size = (640, 640)
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[(2560, int(640 * 0.1 * i)) for i in range(5, 21)],
        resize_type="Resize",
        keep_ratio=True,
        backend="pillow",
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0),
    dict(type="PhotoMetricDistortion"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=255)),
    dict(type="PackSegInputs"),
]
test_resize = dict(type="Resize", scale=(2560, 640), keep_ratio=True, backend="pillow")
test_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    test_resize,
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    test_resize,
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(4480, s), keep_ratio=True, backend="pillow")
                for s in (320, 480, 640, 800, 960, 1120)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="mmmaskformer.LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
