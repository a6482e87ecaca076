# Panoptic-DeepLab's sizes: half to one and a half of 640, crops of 640.
_base_ = ["./coco_panoptic.py"]
crop_size = (640, 640)
resize = dict(_base_.resize, scales=[(960, int(640 * 0.1 * i)) for i in range(5, 16)])
crop = dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0, ignore_index=_base_.void)
pad = dict(type="Pad", size=crop_size, pad_val=dict(img=(128, 128, 128), seg=_base_.void))
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, resize, crop),
    *(_base_.flip, pad, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(960, 640))
test_pipeline = [_base_.load_image, test_resize, _base_.load_segments_and_ids, _base_.pack]
# No view is larger than what the offsets were trained for.
tta_resizes = [dict(test_resize, scale=(3 * s // 2, s)) for s in (320, 480, 640)]
views = [tta_resizes, *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
