_base_ = ["./swin_160k.py"]
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=20001, by_epoch=False),
    # On top of the decay, not before it.
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1501, by_epoch=False),
]
train_cfg = dict(max_iters=20000, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=2000))
