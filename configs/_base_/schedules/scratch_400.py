_base_ = ["./scratch_300.py"]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=401, by_epoch=False)]
train_cfg = dict(max_iters=400, val_interval=400)
