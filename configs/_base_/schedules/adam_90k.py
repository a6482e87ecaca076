# Panoptic-DeepLab's: Adam without weight decay and clipping, one learning rate for all weights.
_base_ = ["./resnet_90k.py"]
optim_wrapper = dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
param_scheduler = [
    *_base_.param_scheduler,
    # On top of the decay, not before it.
    dict(type="mmmaskformer.WarmupLR", iters=1000, start_factor=1e-3, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=32)
