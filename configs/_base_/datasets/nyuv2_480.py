# NYU Depth v2 enlarged by 1.5 to 640x480, for a GPU.
_base_ = ["./nyuv2.py"]
crop_size = (384, 512)
resize = dict(_base_.resize, scale=(640, 480))
crop = dict(_base_.crop, crop_size=crop_size)
pad = dict(_base_.pad, size=crop_size[::-1])
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.flip, _base_.distort, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(640, 480))
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
tta_resizes = [dict(test_resize, scale=(4096, s)) for s in (320, 400, 480, 560, 640)]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(batch_size=8, num_workers=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
