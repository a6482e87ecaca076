# MaskFormer's head for small images of few things.
small_head = dict(
    num_queries=20,
    channels=128,
    mask_channels=128,
    transformer_decoder=dict(num_layers=3, feedforward_channels=512),
)
