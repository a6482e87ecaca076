# MaX-DeepLab-S cut down for a CPU: a quarter of the width, fewer blocks and slots.
_base_ = ["./maxdeeplab_s.py"]
model = dict(
    backbone=dict(width=16, depths=(1, 2, 2, 2), slots=20, reach=63, drop_path=0.0),
    decode_head=dict(
        in_channels=[64, 64, 64],
        decoder=dict(type="mmmaskformer.MaXDeepLab", embed_channels=64, pixel_channels=64),
    ),
    auxiliary_head=dict(
        in_channels=[64, 128, 512],
        decoder=dict(type="mmmaskformer.MaXDeepLabSemantic", channels=64, head_channels=64),
    ),
)
