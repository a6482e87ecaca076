# Table VII: general instead of semantic inference, with the same weights.
_base_ = ["./maskformer_r50_coco-stuff-10k.py"]
model = dict(decode_head=dict(fusion=dict(type="GeneralFusion", object_threshold=0.3)))
