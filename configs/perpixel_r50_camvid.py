_base_ = ["./maskformer_r50_camvid.py"]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PerPixelBaselineHead",
        in_channels=[256, 512, 1024, 2048],
        num_classes=_base_.num_classes,
    ),
)
