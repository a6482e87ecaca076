# To see whether a warm-up helps a short training.
_base_ = ["./efflite_1000.py"]
warm_up = dict(type="mmmaskformer.WarmupLR", iters=100, start_factor=1e-6, by_epoch=False)
param_scheduler = [*_base_.param_scheduler, warm_up]
