# CamVid's photographs enlarged by 1.5: its poles and signs are a few pixels wide.
_base_ = ["./camvid.py"]
crop_size = (288, 384)
resize = dict(_base_.resize, scale=(720, 540), ratio_range=(0.7, 1.4))
crop = dict(_base_.crop, crop_size=crop_size)
pad = dict(_base_.pad, size=crop_size[::-1])
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.flip, _base_.distort, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(720, 540))
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
tta_resizes = [dict(test_resize, scale=(4096, s)) for s in (360, 450, 540, 630, 720)]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
