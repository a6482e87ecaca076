_base_ = ["./resnet_160k.py"]
train_cfg = dict(max_iters=720000, val_interval=720000)
