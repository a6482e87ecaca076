# Your own data at sizes that a CPU can train, resized by 0.75 to 1.5 as CamVid is.
_base_ = ["./own.py"]
crop_size = (320, 320)
resize = dict(_base_.resize, scales=[(2048, s) for s in range(240, 481, 20)])
crop = dict(_base_.crop, crop_size=crop_size)
pad = dict(_base_.pad, size=crop_size)
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.distort, _base_.flip, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(2048, 320))
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
tta_resizes = [dict(test_resize, scale=(2048, s)) for s in (160, 240, 320, 400, 480, 560)]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
