# ADE20K at crop size 640, the resolution of the larger Swin models.
_base_ = ["./ade20k.py"]
crop_size = (640, 640)
train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(2560, int(640 * 0.1 * i)) for i in range(5, 21)]
train_pipeline[3].crop_size = train_pipeline[6].size = crop_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2560, 640)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].scale = (2560, 640)
for resize, size in zip(
    tta_pipeline[2].transforms[0], (320, 480, 640, 800, 960, 1120), strict=True
):
    resize.scale = (4480, size)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
del resize, size
