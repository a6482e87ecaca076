_base_ = ["./maskformer_efflite0.py", "./efflite2.py"]
model = dict(backbone=_base_.efflite2, decode_head=dict(in_channels=_base_.efflite2_channels))
