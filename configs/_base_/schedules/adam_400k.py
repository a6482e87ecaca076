# MaX-DeepLab's: as Panoptic-DeepLab's, but with a longer warm-up, and a smaller learning rate for
# what deeplab2 starts from ImageNet: all but memory, transformers and the last stages.
_base_ = ["./adam_90k.py"]
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            "backbone.stem": dict(lr_mult=0.1),
            **{f"backbone.stages.{i}.blocks": dict(lr_mult=0.1) for i in range(5)},
        }
    )
)
decay, _ = _base_.param_scheduler
param_scheduler = [
    decay,
    dict(type="mmmaskformer.WarmupLR", iters=5000, start_factor=1e-6, by_epoch=False),
]
train_cfg = dict(max_iters=400000)
auto_scale_lr = dict(base_batch_size=64)
