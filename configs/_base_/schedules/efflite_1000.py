# For the small pretrained backbone, whose weights change more slowly than the head's.
_base_ = ["./resnet_160k.py"]
optim_wrapper = dict(
    optimizer=dict(lr=3e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3)))
)
train_cfg = dict(max_iters=1000, val_interval=250)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250, max_keep_ckpts=2))
randomness = dict(seed=0)
