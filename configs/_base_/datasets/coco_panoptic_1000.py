# COCO panoptic as Swin-L trains on it: long edges up to 1000 instead of 1333.
_base_ = ["./coco_panoptic.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[3].scales = [(1000, s) for s in range(480, 801, 32)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
