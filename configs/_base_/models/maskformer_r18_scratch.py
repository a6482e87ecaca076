# Small and without pretrained weights: batch norm has to learn, too.
_base_ = ["./maskformer_r50.py"]
model = dict(
    backbone=dict(
        depth=18,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        zero_init_residual=True,
        init_cfg=None,
    ),
    decode_head=dict(in_channels=[64, 128, 256, 512], num_queries=50),
)
