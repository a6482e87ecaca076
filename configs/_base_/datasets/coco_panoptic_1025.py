# As at 641 pixels, with 1025.
_base_ = ["./coco_panoptic_641.py"]
crop_size = (1025, 1025)
resize = dict(_base_.resize, scales=[(int(1025 * 0.1 * i),) * 2 for i in range(5, 16)])
crop = dict(_base_.crop, crop_size=crop_size)
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, resize, crop),
    *(_base_.flip, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=crop_size)
test_pipeline = [_base_.load_image, test_resize, _base_.load_segments_and_ids, _base_.pack]
views = [[test_resize], *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model_of_data = dict(data_preprocessor=dict(size=crop_size, test_cfg=dict(size=crop_size)))
