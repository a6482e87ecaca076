# MaX-DeepLab-S. No weights for torch are published, of ImageNet neither. Images are normalised as
# deeplab2 does it; all batch norms learn, over all GPUs.
_base_ = ["./maskformer_r50.py"]
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(_delete_=True, type="mmmaskformer.MaXDeepLabBackbone"),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.MaXDeepLabHead",
        in_channels=[256, 256, 256],
        in_index=[0, -2, -1],
    ),
    # For training only; it counts neither in the paper's parameters nor in the results.
    auxiliary_head=dict(
        type="mmmaskformer.MaXDeepLabSemanticHead", in_channels=[256, 512, 2048], in_index=[1, 2, 3]
    ),
    test_cfg=dict(panoptic_on=True),
)
sync_bn = "torch"
