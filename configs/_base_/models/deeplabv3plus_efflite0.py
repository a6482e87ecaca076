# The backbone keeps its stride of 32, so the rates are a quarter of those at stride 8.
_base_ = ["mmseg::_base_/models/deeplabv3plus_r50-d8.py", "./efflite0.py"]
norm_cfg = dict(type="BN", requires_grad=True)
fine, _, middle, coarse = _base_.efflite0_channels
model = dict(
    pretrained=None,
    data_preprocessor=dict(size_divisor=32, **_base_.efflite0_pixels),
    backbone=_base_.efflite0,
    decode_head=dict(
        in_channels=coarse,
        c1_in_channels=fine,
        channels=256,
        dilations=(1, 3, 6, 9),
        norm_cfg=norm_cfg,
    ),
    auxiliary_head=dict(in_channels=middle, channels=128, norm_cfg=norm_cfg),
)
