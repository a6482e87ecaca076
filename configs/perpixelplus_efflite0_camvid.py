_base_ = ["./perpixel_efflite0_camvid.py"]
model = dict(
    decode_head=dict(
        type="mmmaskformer.PerPixelBaselinePlusHead", transformer_decoder=dict(num_layers=6)
    )
)
