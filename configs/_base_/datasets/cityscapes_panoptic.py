# Sizes and augmentation of the semantic Cityscapes models; crops always fit, nothing is padded.
_base_ = ["./panoptic.py"]
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadPanopticAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[(4096, int(1024 * 0.1 * i)) for i in range(5, 21)],
        resize_type="mmmaskformer.AntialiasResize",
        keep_ratio=True,
    ),
    dict(type="RandomCrop", crop_size=(512, 1024), cat_max_ratio=1.0, ignore_index=0),
    dict(type="PhotoMetricDistortion"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmmaskformer.PackPanopticInputs"),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2048, 1024)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type="Resize", scale=(2560, s), keep_ratio=True, backend="pillow")
    for s in (768, 1024, 1280)
]
# Layout and names of cityscapesScripts' createPanopticImgs.
dataset = dict(type="mmmaskformer.CityscapesPanopticDataset", data_root="data/cityscapes")
train_dataloader = dict(
    dataset=dict(
        ann_file="gtFine/cityscapes_panoptic_train.json",
        data_prefix=dict(
            img_path="leftImg8bit/train", seg_map_path="gtFine/cityscapes_panoptic_train"
        ),
        pipeline=train_pipeline,
        **dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file="gtFine/cityscapes_panoptic_val.json",
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/cityscapes_panoptic_val"),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
