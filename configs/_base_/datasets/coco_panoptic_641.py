# MaX-DeepLab's sizes: images fit in half to one and a half of 641 pixels, crops of 641.
_base_ = ["./coco_panoptic.py"]
crop_size = (641, 641)
resize = dict(_base_.resize, scales=[(int(641 * 0.1 * i),) * 2 for i in range(5, 16)])
crop = dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0, ignore_index=_base_.void)
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, resize, crop),
    *(_base_.flip, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=crop_size)
test_pipeline = [_base_.load_image, test_resize, _base_.load_segments_and_ids, _base_.pack]
# Flips only: an image has to fit in the size that testing pads to.
views = [[test_resize], *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
# Padding is 0 after the normalisation, up to the crop in testing, too.
model_of_data = dict(
    _delete_=True,
    data_preprocessor=dict(
        size=crop_size,
        size_divisor=None,
        seg_pad_val=_base_.ignore_index,
        test_cfg=dict(_delete_=True, size=crop_size),
    ),
    decode_head=dict(
        num_classes=_base_.num_classes,
        isthing=_base_.dataset["type"],
        ignore_index=_base_.ignore_index,
    ),
    auxiliary_head=dict(num_classes=_base_.num_classes, isthing=_base_.dataset["type"]),
)
