_base_ = ["./maskformer_r18_camvid.py"]
model = dict(
    backbone=dict(depth=50),
    decode_head=dict(in_channels=[256, 512, 1024, 2048], num_queries=100),
)
