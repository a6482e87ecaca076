# No recipe is published for this dataset: COCO's, on MaskFormer's images.
_base_ = [
    "./_base_/models/panopticdeeplab_r50.py",
    "./_base_/datasets/ade20k_panoptic.py",
    "./_base_/schedules/adam_200k.py",
    "./_base_/runtime.py",
]
fusion = dict(type="mmmaskformer.PanopticDeepLabFusion", kernel=41, stuff_area=4096)
model = dict(
    decode_head=dict(
        num_classes=_base_.num_classes,
        isthing=_base_.dataset["type"],
        criterion=dict(type="mmmaskformer.PanopticDeepLabCriterion", hard_pixel_share=1.0),
        panoptic_fusion=fusion,
    )
)
train_dataloader = dict(batch_size=8)
