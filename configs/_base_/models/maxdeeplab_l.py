# MaX-DeepLab-L: Wide-ResNet-41, stacked pixel decoders, and dual paths in more of the stages.
_base_ = ["./maxdeeplab_s.py"]
model = dict(
    backbone=dict(large=True),
    decode_head=dict(in_channels=[256, 512, 512]),
    auxiliary_head=dict(in_channels=[256], in_index=[1], small_weight=3.0),
)
