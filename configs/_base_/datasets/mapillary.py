# Mapillary Vistas v1.2: 65 classes, 65 is "unlabelled". The longer side is 2048 in tests.
_base_ = ["./ade20k.py"]
num_classes = 65
ignore_index = 65
crop_size = (1280, 1280)
load_labels = dict(_base_.load_labels, ignore_index=ignore_index)
resize = dict(_base_.resize, scales=[(8192, int(2048 * 0.1 * i)) for i in range(5, 21)])
crop = dict(_base_.crop, crop_size=crop_size)
pad = dict(_base_.pad, size=crop_size, pad_val=dict(_base_.pad.pad_val, seg=ignore_index))
train_pipeline = [
    *(_base_.load_image, load_labels, resize, crop),
    *(_base_.distort, _base_.flip, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(2048, 2048))
test_pipeline = [_base_.load_image, test_resize, load_labels, _base_.pack]
# Factors 0.5, 1 and 1.5, as the paper says; the released model leaves the sizes unset.
tta_resizes = [
    dict(type="Resize", scale=(side, side), keep_ratio=True, backend="pillow")
    for side in (1024, 2048, 3072)
]
views = [tta_resizes, _base_.unflipped_and_flipped, [load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, test_resize, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="mmmaskformer.MapillaryDataset", data_root="data/mapillary")
train_files = dict(img_path="training/images", seg_map_path="training/labels")
val_files = dict(img_path="validation/images", seg_map_path="validation/labels")
train_dataloader = dict(
    num_workers=10, dataset=dict(data_prefix=train_files, pipeline=train_pipeline, **dataset)
)
val_dataloader = dict(dataset=dict(data_prefix=val_files, pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = [
    dict(metric, ignore_index=ignore_index) for metric in _base_.label_metrics
]
model_of_data = dict(
    data_preprocessor=dict(seg_pad_val=ignore_index),
    decode_head=dict(num_classes=num_classes, ignore_index=ignore_index),
)
