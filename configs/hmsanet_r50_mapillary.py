# HRNet-OCR's recipe but for blurred images, and tiles drawn by class for half of each epoch.
_base_ = [
    *("./_base_/models/hmsanet_r50.py", "./_base_/datasets/mapillary.py"),
    *("./_base_/schedules/sgd_225k.py", "./_base_/runtime.py"),
]
model = dict(_base_.model_of_data, test_scales=(0.25, 0.5, 1, 2))
resize = dict(type="RandomResize", scale=(2177, 2177), ratio_range=(0.5, 2.0), keep_ratio=True)
crop = dict(_base_.crop, crop_size=(1024, 1024))
span = (0.75, 1.25)
color = dict(brightness_delta=64, contrast_range=span, saturation_range=span, hue_delta=45)
pad = dict(_base_.pad, size=(1024, 1024))
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(dict(_base_.distort, **color), _base_.flip, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(2177, 2177))
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
views = [_base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, test_resize, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
