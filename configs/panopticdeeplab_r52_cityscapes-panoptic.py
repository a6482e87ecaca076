# The recipe of detectron2, whose Gaussians are wider (10 pixels): 8 GPUs with 4 images each.
_base_ = [
    "./_base_/models/panopticdeeplab_r52.py",
    "./_base_/datasets/cityscapes_panoptic.py",
    "./_base_/schedules/adam_90k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, _base_.resize, _base_.crop),
    *(_base_.flip, _base_.pack),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
