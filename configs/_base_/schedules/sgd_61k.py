# Graphonomy-Panoptic's for Panoptic FPN on ADE20K: SGD without clipping, in batches of 8, whose
# learning rate falls after 41k and 55k iterations.
_base_ = ["./resnet_160k.py"]
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type="mmmaskformer.MultiStepLR", milestones=[41 / 61, 55 / 61], by_epoch=False),
    dict(type="mmmaskformer.WarmupLR", iters=500, start_factor=1e-3, by_epoch=False),
]
train_cfg = dict(max_iters=61000)
auto_scale_lr = dict(base_batch_size=8)
