# The paper's backbone, aligned Xception-71, is timm's: pip install timm. Pixels are in [-1, 1].
_base_ = ["./panopticdeeplab_r52_cityscapes-panoptic.py"]
backbone = dict(
    _delete_=True,
    type="TIMMBackbone",
    model_name="xception71",
    pretrained=True,
    output_stride=16,
)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=backbone,
    decode_head=dict(in_channels=[256, 728, 2048], in_index=[1, 2, 4]),
)
# mIoU, and PQ_st with all classes as stuff, are those of the paper's Table III.
val_evaluator = test_evaluator = [
    dict(type="mmmaskformer.PanopticQualityMetric", prefix="panoptic"),
    *_base_.label_metrics,
]
sync_bn = "torch"  # timm's norms are not synchronised by themselves
