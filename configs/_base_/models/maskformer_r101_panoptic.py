_base_ = ["./maskformer_r50_panoptic.py"]
model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(checkpoint="https://download.pytorch.org/models/resnet101-63fe2227.pth"),
    )
)
