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
    dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=160001, by_epoch=False),
    # On top of the decay, not before it.
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1501, by_epoch=False),
]
