# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./panoptic.py"]
resize = dict(
    type="RandomChoiceResize",
    resize_type="mmmaskformer.AntialiasResize",
    keep_ratio=True,
)
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadPanopticAnnotations"),
    dict(
        type="RandomApply",
        prob=0.5,
        transforms=[
            # The short edge decides; the long one is not limited here.
            dict(scales=[(100000, s) for s in (400, 500, 600)], **resize),
            dict(type="mmdet.RandomCrop", crop_type="absolute_range", crop_size=(384, 600)),
        ],
    ),
    dict(scales=[(1333, s) for s in range(480, 801, 32)], **resize),
    # Last, where it costs no copy; the original flips first, which gives the same.
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmmaskformer.PackPanopticInputs"),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (1333, 800)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type="Resize", scale=(1600, s), keep_ratio=True, backend="pillow") for s in (640, 800, 960)
]
dataset = dict(type="mmmaskformer.COCOPanopticDataset", data_root="data/coco")
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(img_path="train2017", seg_map_path="panoptic_train2017"),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    dataset=dict(
        ann_file="annotations/panoptic_val2017.json",
        data_prefix=dict(img_path="val2017", seg_map_path="panoptic_val2017"),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
del resize
# What a model for this data has in common, whatever its backbone.
model_of_data = dict(
    # Images are padded to the largest of the batch only.
    data_preprocessor=dict(size_divisor=1, test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        num_classes=133,
        isthing="mmmaskformer.COCOPanopticDataset",
        fusion=dict(resize_logits=True),
    ),
    test_cfg=dict(panoptic_on=True),
)
