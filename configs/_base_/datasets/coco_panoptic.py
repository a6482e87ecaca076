# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./semantic.py"]
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
test_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True, backend="pillow"),
    dict(type="mmmaskformer.LoadPanopticAnnotations", with_ids=True),
    dict(type="mmmaskformer.PackPanopticInputs"),
]
# Not the paper's, which has no panoptic test-time augmentation.
tta_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(1600, s), keep_ratio=True, backend="pillow")
                for s in (640, 800, 960)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="mmmaskformer.LoadPanopticAnnotations", with_ids=True)],
            [dict(type="mmmaskformer.PackPanopticInputs")],
        ],
    ),
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
val_evaluator = [
    dict(type="mmmaskformer.PanopticQualityMetric"),
    dict(type="IoUMetric", iou_metrics=["mIoU"]),
]
test_evaluator = val_evaluator
del resize
