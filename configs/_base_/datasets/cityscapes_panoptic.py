# Sizes and augmentation of the semantic Cityscapes models; crops always fit, nothing is padded.
_base_ = ["./panoptic.py"]
num_classes = 19
resize = dict(
    type="RandomChoiceResize",
    scales=[(4096, int(1024 * 0.1 * i)) for i in range(5, 21)],
    resize_type="mmmaskformer.AntialiasResize",
    keep_ratio=True,
)
crop = dict(type="RandomCrop", crop_size=(512, 1024), cat_max_ratio=1.0, ignore_index=_base_.void)
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, resize, crop),
    *(_base_.distort, _base_.flip, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(2048, 1024))
test_pipeline = [_base_.load_image, test_resize, _base_.load_segments_and_ids, _base_.pack]
tta_resizes = [
    dict(type="Resize", scale=(2560, s), keep_ratio=True, backend="pillow")
    for s in (768, 1024, 1280)
]
views = [tta_resizes, *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
# Layout and names of cityscapesScripts' createPanopticImgs.
dataset = dict(type="mmmaskformer.CityscapesPanopticDataset", data_root="data/cityscapes")
labels = "gtFine/cityscapes_panoptic"
train_files = dict(img_path="leftImg8bit/train", seg_map_path=f"{labels}_train")
val_files = dict(img_path="leftImg8bit/val", seg_map_path=f"{labels}_val")
train = dict(dataset, ann_file=f"{labels}_train.json", data_prefix=train_files)
val = dict(dataset, ann_file=f"{labels}_val.json", data_prefix=val_files)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **train))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **val))
test_dataloader = val_dataloader
model_of_data = dict(decode_head=dict(num_classes=num_classes, isthing=dataset["type"]))
