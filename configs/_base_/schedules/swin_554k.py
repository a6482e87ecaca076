_base_ = ["./swin_160k.py"]
param_scheduler = [
    dict(type="MultiStepLR", milestones=[369600], gamma=0.1, begin=0, end=554400, by_epoch=False),
    # On top of the decay, not before it.
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1501, by_epoch=False),
]
train_cfg = dict(max_iters=554400, val_interval=554400)
auto_scale_lr = dict(base_batch_size=64)
