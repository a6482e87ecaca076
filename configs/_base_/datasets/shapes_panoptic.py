_base_ = ["./panoptic.py"]
num_classes = 10
train_pipeline = [_base_.load_image, _base_.load_segments, _base_.flip, _base_.pack]
test_pipeline = [_base_.load_image, _base_.load_segments_and_ids, _base_.pack]
tta_resizes = [dict(type="Resize", scale=(512, s), keep_ratio=True) for s in (96, 128, 160)]
views = [tta_resizes, *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="mmmaskformer.ShapesPanopticDataset", data_root="data/shapes")
train_files = dict(img_path="images/train", seg_map_path="panoptic_train")
val_files = dict(img_path="images/val", seg_map_path="panoptic_val")
train = dict(dataset, ann_file="panoptic_train.json", data_prefix=train_files)
val = dict(dataset, ann_file="panoptic_val.json", data_prefix=val_files)
loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **train), **loader)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **val), **loader)
test_dataloader = val_dataloader
model_of_data = dict(decode_head=dict(num_classes=num_classes, isthing=dataset["type"]))
