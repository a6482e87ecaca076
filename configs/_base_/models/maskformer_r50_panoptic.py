# The original's panoptic model with a ResNet: a transformer encoder in the pixel decoder, and
# mask logits that are resized before the sigmoid.
_base_ = ["./maskformer_r50.py"]
model = dict(
    decode_head=dict(
        pixel_decoder=dict(type="TransformerEncoderPixelDecoder", num_layers=6),
        fusion=dict(resize_logits=True),
    ),
    test_cfg=dict(panoptic_on=True),
)
