_base_ = ["./panoptic.py"]
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadPanopticAnnotations"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmmaskformer.PackPanopticInputs"),
]
test_pipeline = _base_.test_pipeline
del test_pipeline[1]
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type="Resize", scale=(512, s), keep_ratio=True) for s in (96, 128, 160)
]
dataset = dict(type="mmmaskformer.ShapesPanopticDataset", data_root="data/shapes")
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file="panoptic_train.json",
        data_prefix=dict(img_path="images/train", seg_map_path="panoptic_train"),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file="panoptic_val.json",
        data_prefix=dict(img_path="images/val", seg_map_path="panoptic_val"),
        pipeline=test_pipeline,
        **dataset,
    ),
)
test_dataloader = val_dataloader
