# Table VIII: no self-attention in the transformer decoder.
_base_ = ["./maskformer_r50_ade20k-panoptic.py"]
model = dict(decode_head=dict(transformer_decoder=dict(self_attention=False)))
