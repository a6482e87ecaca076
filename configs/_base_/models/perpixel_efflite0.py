_base_ = ["./maskformer_efflite0.py"]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PerPixelBaselineHead",
        in_channels=_base_.efflite0_channels,
    ),
)
