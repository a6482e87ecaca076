_base_ = ["./adam_90k.py"]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=200000)
auto_scale_lr = dict(base_batch_size=64)
