# Small, without pretrained weights, and without dilated stages: the last level has stride 32.
_base_ = ["./maskformer_r18_scratch.py"]
model = dict(
    decode_head=dict(
        _delete_=True,
        type="mmmaskformer.PanopticDeepLabHead",
        in_channels=[64, 128, 512],
        in_index=[0, 1, 3],
        decoder=dict(type="mmmaskformer.PanopticDeepLab", dilations=(3, 6, 9)),
    ),
    test_cfg=dict(panoptic_on=True),
)
