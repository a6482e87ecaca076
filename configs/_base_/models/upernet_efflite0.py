# 256 channels, as MaskFormer's head has.
_base_ = ["mmseg::_base_/models/upernet_r50.py", "./efflite0.py"]
_, _, middle, _ = _base_.efflite0_channels
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size_divisor=32, **_base_.efflite0_pixels),
    backbone=_base_.efflite0,
    decode_head=dict(in_channels=_base_.efflite0_channels, channels=256, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=middle, channels=128, norm_cfg=norm_cfg),
)
