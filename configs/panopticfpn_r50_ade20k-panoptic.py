# mmdet's Panoptic FPN on our images and with our metric: what BGRNet and Auto-Panoptic start from.
# It needs the full mmcv (RoIAlign, NMS). 8 GPUs with one image each; classes are things first.
_base_ = [
    "./_base_/models/panopticfpn_r50.py",
    "./_base_/datasets/ade20k_panoptic.py",
    "./_base_/schedules/sgd_61k.py",
    "./_base_/mmdet.py",
    "./_base_/runtime.py",
]
default_scope = "mmdet"
semantic = dict(loss_seg=dict(ignore_index=_base_.ignore_index))
model = dict(semantic_head=semantic, data_preprocessor=dict(seg_pad_value=_base_.ignore_index))
pack = dict(_base_.detector_pack, num_things=100)
resize = dict(type="mmmaskformer.AntialiasResize", scale=(2560, 640), keep_ratio=True)
train_pipeline = [_base_.load_image, _base_.load_segments, resize, _base_.flip, pack]
train = dict(pipeline=train_pipeline, things_first=True)
val = dict(pipeline=[*_base_.test_pipeline[:-1], pack], things_first=True)
train_dataloader = dict(batch_size=1, dataset=train)
val_dataloader = dict(dataset=val)
test_dataloader = val_dataloader
test_evaluator = val_evaluator = _base_.detector_evaluator
default_hooks = _base_.detector_hooks
env_cfg = dict(cudnn_benchmark=False)  # images have many sizes
visualizer = _base_.detector_visualizer
tta_model = None
