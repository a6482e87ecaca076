# Short enough for a CPU, without pretrained weights: one learning rate for all parameters.
_base_ = ["./resnet_160k.py"]
optim_wrapper = dict(
    optimizer=dict(lr=3e-4),
    paramwise_cfg=dict(custom_keys=dict(_delete_=True, query_embed=dict(decay_mult=0.0))),
)
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100, max_keep_ckpts=2))
randomness = dict(seed=0)
