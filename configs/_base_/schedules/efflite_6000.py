_base_ = ["./efflite_1000.py"]
train_cfg = dict(max_iters=6000, val_interval=1500)
