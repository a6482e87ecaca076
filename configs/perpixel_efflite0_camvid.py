_base_ = ["./maskformer_efflite0_camvid.py"]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PerPixelBaselineHead",
        in_channels=_base_.efflite0_channels,
        num_classes=_base_.num_classes,
    ),
)
