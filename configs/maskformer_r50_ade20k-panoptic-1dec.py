# Table VIII: one layer of the transformer decoder.
_base_ = ["./maskformer_r50_ade20k-panoptic.py"]
model = dict(decode_head=dict(transformer_decoder=dict(num_layers=1)))
