# HMSANet's: SGD without clipping, a learning rate that falls in a straight line, and 200 epochs of
# Mapillary Vistas (18000 images) in batches of 16.
_base_ = ["./resnet_160k.py"]
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=5e-3, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [dict(type="mmmaskformer.PolyLR", power=1.0, by_epoch=False)]
train_cfg = dict(max_iters=225000)
