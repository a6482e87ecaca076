# COCO panoptic as Swin-L trains on it: long edges up to 1000 instead of 1333.
_base_ = ["./coco_panoptic.py"]
resize = dict(_base_.resize, scales=[(1000, s) for s in range(480, 801, 32)])
train_pipeline = [
    *(_base_.load_image, _base_.load_segments),
    *(_base_.resize_and_crop, resize, _base_.flip, _base_.pack),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
