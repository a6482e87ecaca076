_base_ = ["./resnet_160k.py"]
param_scheduler = [
    dict(type="MultiStepLR", milestones=[369600], gamma=0.1, begin=0, end=554400, by_epoch=False)
]
train_cfg = dict(max_iters=554400, val_interval=554400)
auto_scale_lr = dict(base_batch_size=64)
