# Small and without pretrained weights: batch norm has to learn, too.
_base_ = ["./maskformer_r18_scratch.py"]
model = dict(decode_head=dict(fusion=dict(resize_logits=True)), test_cfg=dict(panoptic_on=True))
