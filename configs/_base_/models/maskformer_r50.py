model = dict(
    type="mmmaskformer.MaskFormer",
    data_preprocessor=dict(
        type="mmmaskformer.MaskFormerDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        size_divisor=32,
        test_cfg=dict(size_divisor=32),
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        # Frozen batch norm, affine parameters included; every convolution trains.
        norm_cfg=dict(type="mmmaskformer.FrozenBN", requires_grad=False),
        norm_eval=True,
        style="pytorch",
        # A frozen norm that starts at zero would never let its block do anything.
        zero_init_residual=False,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://download.pytorch.org/models/resnet50-0676ba61.pth",
        ),
    ),
    decode_head=dict(
        type="mmmaskformer.MaskFormerHead",
        in_channels=[256, 512, 1024, 2048],
        num_queries=100,
        transformer_decoder=dict(num_layers=6),
        loss_cls=dict(loss_weight=1.0, no_object_weight=0.1),
        loss_mask=dict(loss_weight=20.0),
        loss_dice=dict(loss_weight=1.0),
    ),
    test_cfg=dict(mode="whole"),
)
