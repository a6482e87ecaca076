_base_ = ["./efflite_1000.py"]
train_cfg = dict(max_iters=2000, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=1000))
