_base_ = ["./resnet_160k.py"]
param_scheduler = [
    dict(type="mmmaskformer.MultiStepLR", milestones=[2 / 3], gamma=0.1, by_epoch=False)
]
train_cfg = dict(max_iters=554400, val_interval=554400)
auto_scale_lr = dict(base_batch_size=64)
