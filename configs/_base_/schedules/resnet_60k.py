_base_ = ["./resnet_160k.py"]
train_cfg = dict(max_iters=60000)
auto_scale_lr = dict(base_batch_size=32)
