_base_ = ["./resnet_160k.py"]
train_cfg = dict(max_iters=200000)
