_base_ = ["./semantic.py"]
crop_size = (240, 320)
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(type="RandomResize", scale=(480, 360), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=255)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="Resize", scale=(480, 360), keep_ratio=True),
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(4096, s), keep_ratio=True)
                for s in (180, 270, 360, 450, 540, 630)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="mmmaskformer.LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
dataset = dict(type="mmmaskformer.CamVidDataset", data_root="data/camvid")
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(
        data_prefix=dict(img_path="images/train", seg_map_path="annotations/train"),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_prefix=dict(img_path="images/val", seg_map_path="annotations/val"),
        pipeline=test_pipeline,
        **dataset,
    ),
)
test_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_prefix=dict(img_path="images/test", seg_map_path="annotations/test"),
        pipeline=test_pipeline,
        **dataset,
    ),
)
