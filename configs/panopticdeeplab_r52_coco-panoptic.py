# The recipe of detectron2: 8 GPUs with 8 images each; crops of 640 pixels, all pixels count.
_base_ = [
    "./_base_/models/panopticdeeplab_r52.py",
    "./_base_/datasets/coco_panoptic_640.py",
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
