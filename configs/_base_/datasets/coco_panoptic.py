# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./panoptic.py"]
num_classes = 133
resize = dict(
    type="RandomChoiceResize",
    scales=[(1333, s) for s in range(480, 801, 32)],
    resize_type="mmmaskformer.AntialiasResize",
    keep_ratio=True,
)
resize_and_crop = dict(
    type="RandomApply",
    prob=0.5,
    transforms=[
        # The short edge decides; the long one is not limited here.
        dict(resize, scales=[(100000, s) for s in (400, 500, 600)]),
        dict(type="mmdet.RandomCrop", crop_type="absolute_range", crop_size=(384, 600)),
    ],
)
# The flip is last, where it costs no copy; the original flips first, which gives the same.
train_pipeline = [
    *(_base_.load_image, _base_.load_segments),
    *(resize_and_crop, resize, _base_.flip, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(1333, 800))
test_pipeline = [_base_.load_image, test_resize, _base_.load_segments_and_ids, _base_.pack]
tta_resizes = [
    dict(type="Resize", scale=(1600, s), keep_ratio=True, backend="pillow") for s in (640, 800, 960)
]
views = [tta_resizes, *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="mmmaskformer.COCOPanopticDataset", data_root="data/coco")
train_files = dict(img_path="train2017", seg_map_path="panoptic_train2017")
val_files = dict(img_path="val2017", seg_map_path="panoptic_val2017")
train = dict(dataset, ann_file="annotations/panoptic_train2017.json", data_prefix=train_files)
val = dict(dataset, ann_file="annotations/panoptic_val2017.json", data_prefix=val_files)
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline, **train))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **val))
test_dataloader = val_dataloader
model_of_data = dict(
    # Images are padded to the largest of the batch only.
    data_preprocessor=dict(size_divisor=1, test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        num_classes=num_classes, isthing=dataset["type"], fusion=dict(resize_logits=True)
    ),
    test_cfg=dict(panoptic_on=True),
)
