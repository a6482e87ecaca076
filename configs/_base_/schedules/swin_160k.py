_base_ = ["./resnet_160k.py"]
optim_wrapper = dict(
    optimizer=dict(lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(
            _delete_=True,
            query_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
        )
    ),
)
param_scheduler = [
    *_base_.param_scheduler,
    # On top of the decay, not before it.
    dict(type="mmmaskformer.WarmupLR", iters=1500, start_factor=1e-6, by_epoch=False),
]
