_base_ = ["./perpixel_efflite0.py"]
model = dict(
    decode_head=dict(
        type="mmmaskformer.PerPixelBaselinePlusHead", transformer_decoder=dict(num_layers=6)
    )
)
