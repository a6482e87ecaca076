# COCO panoptic at sizes that a CPU can train.
_base_ = ["./coco_panoptic.py"]
resize = dict(_base_.resize, scales=[(480, s) for s in (224, 256, 288)])
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, resize),
    *(_base_.flip, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(480, 256))
test_pipeline = [_base_.load_image, test_resize, _base_.load_segments_and_ids, _base_.pack]
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
