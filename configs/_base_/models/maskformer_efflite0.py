_base_ = ["./maskformer_r50.py", "./efflite0.py"]
model = dict(
    data_preprocessor=_base_.efflite0_pixels,
    backbone=_base_.efflite0,
    decode_head=dict(in_channels=_base_.efflite0_channels, num_queries=50),
)
