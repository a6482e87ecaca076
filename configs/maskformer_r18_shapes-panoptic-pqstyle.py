# MaskFormer's network with MaX-DeepLab's losses; the queries compete for each pixel.
_base_ = ["./maskformer_r18_shapes-panoptic.py"]
fusion = dict(type="mmmaskformer.SlotPanopticFusion", thing_area=16, stuff_area=64)
model = dict(
    decode_head=dict(
        loss_cls=None,
        loss_mask=None,
        loss_dice=None,
        criterion=dict(type="mmmaskformer.PQStyleCriterion"),
        fusion=dict(_delete_=True, type="mmmaskformer.SlotFusion"),
        panoptic_fusion=fusion,
    )
)
