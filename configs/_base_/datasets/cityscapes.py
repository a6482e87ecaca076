# Crops always fit: nothing is padded.
_base_ = ["./ade20k.py"]
num_classes = 19
crop_size = (512, 1024)
resize = dict(_base_.resize, scales=[(4096, int(1024 * 0.1 * i)) for i in range(5, 21)])
crop = dict(_base_.crop, crop_size=crop_size)
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.distort, _base_.flip, _base_.pack),
]
test_resize = dict(_base_.test_resize, scale=(2048, 1024))
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
tta_resizes = [
    dict(type="Resize", scale=(4096, s), keep_ratio=True, backend="pillow")
    for s in (512, 768, 1024, 1280, 1536, 1792)
]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, test_resize, dict(type="TestTimeAug", transforms=views)]
# Labels as cityscapesScripts' `createTrainIdLabelImgs` makes them.
dataset = dict(type="CityscapesDataset", data_root="data/cityscapes")
train_files = dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train")
val_files = dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val")
train_dataloader = dict(dataset=dict(data_prefix=train_files, pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(data_prefix=val_files, pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = _base_.label_metrics
model_of_data = dict(decode_head=dict(num_classes=num_classes))
