_base_ = ["./maskformer_efflite0_camvid.py"]
warm_up = dict(type="mmmaskformer.WarmupLR", iters=100, by_epoch=False)
param_scheduler = [*_base_.param_scheduler, warm_up]
