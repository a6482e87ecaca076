# ADE20K at crop size 640, the resolution of the larger Swin models.
_base_ = ["./ade20k.py"]
crop_size = (640, 640)
resize = dict(_base_.resize, scales=[(2560, int(640 * 0.1 * i)) for i in range(5, 21)])
crop = dict(_base_.crop, crop_size=crop_size)
pad = dict(_base_.pad, size=crop_size)
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.distort, _base_.flip, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(2560, 640))
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
tta_resizes = [
    dict(type="Resize", scale=(4480, s), keep_ratio=True, backend="pillow")
    for s in (320, 480, 640, 800, 960, 1120)
]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, test_resize, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
