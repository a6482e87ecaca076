_base_ = [
    "./_base_/models/maskformer_r101_panoptic.py",
    "./_base_/datasets/coco_panoptic.py",
    "./_base_/schedules/resnet_554k.py",
    "./_base_/runtime.py",
]
model = dict(
    # Images are padded to the largest of the batch only.
    data_preprocessor=dict(size_divisor=1, test_cfg=dict(size_divisor=1)),
    decode_head=dict(num_classes=133, isthing="mmmaskformer.COCOPanopticDataset"),
)
