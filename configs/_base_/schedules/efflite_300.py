_base_ = ["./efflite_1500.py"]
optim_wrapper = dict(optimizer=dict(lr=6e-4))
train_cfg = dict(max_iters=300, val_interval=300)
