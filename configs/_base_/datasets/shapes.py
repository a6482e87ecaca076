_base_ = ["./semantic.py"]
num_classes = 10
train_pipeline = [_base_.load_image, _base_.load_labels, _base_.flip, _base_.pack]
tta_resizes = [dict(type="Resize", scale=(512, s), keep_ratio=True) for s in (96, 128, 160)]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="mmmaskformer.ShapesDataset", data_root="data/shapes")
train_files = dict(img_path="images/train", seg_map_path="annotations/train")
val_files = dict(img_path="images/val", seg_map_path="annotations/val")
loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader = dict(
    dataset=dict(data_prefix=train_files, pipeline=train_pipeline, **dataset), **loader
)
val_dataloader = dict(
    dataset=dict(data_prefix=val_files, pipeline=_base_.test_pipeline, **dataset), **loader
)
test_dataloader = val_dataloader
model_of_data = dict(decode_head=dict(num_classes=num_classes))
