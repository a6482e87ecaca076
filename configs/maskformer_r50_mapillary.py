_base_ = [
    "./_base_/models/maskformer_r50.py",
    "./_base_/datasets/mapillary.py",
    "./_base_/schedules/resnet_300k.py",
    "./_base_/runtime.py",
]
model = dict(
    data_preprocessor=dict(seg_pad_val=65),
    decode_head=dict(num_classes=65, ignore_index=65),
)
