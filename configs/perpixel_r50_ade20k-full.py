_base_ = [
    "./_base_/models/perpixel_r50.py",
    "./_base_/datasets/ade20k_full.py",
    "./_base_/schedules/resnet_200k.py",
    "./_base_/runtime.py",
]
model = dict(
    data_preprocessor=dict(seg_pad_val=65535),
    decode_head=dict(num_classes=847, ignore_index=65535),
)
