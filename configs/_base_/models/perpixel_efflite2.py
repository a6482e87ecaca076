_base_ = ["./maskformer_efflite2.py"]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PerPixelBaselineHead",
        in_channels=[24, 48, 120, 352],
    ),
)
