# Test images are padded to the largest of the batch only, as the original does here.
_base_ = ["./maskformer_r50.py"]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=1)),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PerPixelBaselineHead",
        in_channels=[256, 512, 1024, 2048],
    ),
)
