_base_ = ["./semantic.py"]
num_classes = 11
crop_size = (240, 320)
# Not mmseg's 0.5 to 2: images are tested at one size, and short trainings learn it sooner.
resize = dict(type="RandomResize", scale=(480, 360), ratio_range=(0.75, 1.5), keep_ratio=True)
crop = dict(
    type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75, ignore_index=_base_.ignore_index
)
pad = dict(
    type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=_base_.ignore_index)
)
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.flip, _base_.distort, pad, _base_.pack),
]
test_resize = dict(type="Resize", scale=(480, 360), keep_ratio=True)
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
tta_resizes = [
    dict(type="Resize", scale=(4096, s), keep_ratio=True) for s in (180, 270, 360, 450, 540, 630)
]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="mmmaskformer.CamVidDataset", data_root="data/camvid")
train_files = dict(img_path="images/train", seg_map_path="annotations/train")
val_files = dict(img_path="images/val", seg_map_path="annotations/val")
test_files = dict(img_path="images/test", seg_map_path="annotations/test")
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(data_prefix=train_files, pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    num_workers=2, dataset=dict(data_prefix=val_files, pipeline=test_pipeline, **dataset)
)
test_dataloader = dict(
    num_workers=2, dataset=dict(data_prefix=test_files, pipeline=test_pipeline, **dataset)
)
model_of_data = dict(decode_head=dict(num_classes=num_classes))
