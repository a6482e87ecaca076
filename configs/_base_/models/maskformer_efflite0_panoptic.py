_base_ = ["./maskformer_efflite0.py"]
model = dict(decode_head=dict(fusion=dict(resize_logits=True)), test_cfg=dict(panoptic_on=True))
