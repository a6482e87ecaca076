# The recipe of deeplab2: 8 GPUs with 8 images each.
_base_ = [
    "./_base_/models/maxdeeplab_s.py",
    "./_base_/datasets/coco_panoptic_641.py",
    "./_base_/schedules/adam_400k.py",
    "./_base_/runtime.py",
]
fusion = dict(type="mmmaskformer.SlotPanopticFusion", thing_area=100, stuff_area=1600)
model = dict(
    _base_.model_of_data,
    decode_head=dict(_base_.model_of_data.decode_head, panoptic_fusion=fusion),
)
