# For generated images, which are unlike what the backbone has seen: it learns as fast as the head.
_base_ = ["./efflite_1000.py"]
optim_wrapper = dict(
    optimizer=dict(lr=6e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0)))
)
train_cfg = dict(max_iters=400, val_interval=400)
