# HMSANet in the shape of DeepLabV3+: the last level has stride 8, and all batch norms learn.
_base_ = ["./maskformer_r50.py"]
norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="mmmaskformer.ScaleAttention",
    data_preprocessor=dict(test_cfg=dict(size_divisor=1)),
    backbone=dict(
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        norm_cfg=dict(_delete_=True, **norm_cfg),
        norm_eval=False,
    ),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.HMSANetHead",
        in_channels=[256, 2048],
        in_index=[0, 3],
        norm_cfg=norm_cfg,
        loss_decode=dict(type="mmmaskformer.RMILoss"),
    ),
)
