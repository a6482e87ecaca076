# mmseg's own MaskFormer with the backbone and size of ours, to compare with.
_base_ = ["./maskformer_r18_scratch.py"]
attention = dict(embed_dims=256, num_heads=8, attn_drop=0.1, proj_drop=0.1, batch_first=True)
layer = dict(
    self_attn_cfg=attention,
    cross_attn_cfg=attention,
    ffn_cfg=dict(
        embed_dims=256,
        feedforward_channels=2048,
        num_fcs=2,
        act_cfg=dict(type="ReLU", inplace=True),
        ffn_drop=0.1,
        add_identity=True,
    ),
)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", test_cfg=None),
    decode_head=dict(
        _delete_=True,
        type="MaskFormerHead",
        in_channels=[64, 128, 256, 512],
        feat_channels=256,
        out_channels=256,
        in_index=[0, 1, 2, 3],
        num_queries=50,
        pixel_decoder=dict(
            type="mmdet.PixelDecoder",
            norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
        ),
        enforce_decoder_input_project=False,
        positional_encoding=dict(num_feats=128, normalize=True),
        transformer_decoder=dict(
            return_intermediate=True, num_layers=6, layer_cfg=layer, init_cfg=None
        ),
        loss_cls=dict(type="mmdet.CrossEntropyLoss", loss_weight=1.0),
        loss_mask=dict(
            type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=20.0
        ),
        loss_dice=dict(
            type="mmdet.DiceLoss",
            use_sigmoid=True,
            activate=True,
            naive_dice=True,
            eps=1.0,
            loss_weight=1.0,
        ),
        train_cfg=dict(
            assigner=dict(
                type="mmdet.HungarianAssigner",
                match_costs=[
                    dict(type="mmdet.ClassificationCost", weight=1.0),
                    dict(type="mmdet.FocalLossCost", weight=20.0, binary_input=True),
                    dict(type="mmdet.DiceCost", weight=1.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type="mmdet.MaskPseudoSampler"),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
