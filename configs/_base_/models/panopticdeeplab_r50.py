# The last stage keeps stride 16, and all batch norms learn.
_base_ = ["./maskformer_r50.py"]
model = dict(
    backbone=dict(
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        norm_cfg=dict(_delete_=True, type="SyncBN", requires_grad=True),
        norm_eval=False,
    ),
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PanopticDeepLabHead",
        in_channels=[256, 512, 2048],
        in_index=[0, 1, 3],
    ),
    test_cfg=dict(panoptic_on=True),
)
