# COCO-Stuff-10K v1.0, prepared by tools/prepare_coco_stuff_10k.py.
_base_ = ["./ade20k_640.py"]
num_classes = 171
resize = dict(_base_.resize, scales=[(2560, int(640 * 0.1 * i)) for i in range(5, 16)])
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, _base_.crop),
    *(_base_.distort, _base_.flip, _base_.pad, _base_.pack),
]
dataset = dict(
    type="mmmaskformer.COCOStuff10KDataset",
    data_root="data/coco/coco_stuff_10k",
    data_prefix=dict(img_path="images", seg_map_path="labels"),
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(ann_file="imageLists/train.txt", pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(dataset=dict(ann_file="imageLists/test.txt", **dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = _base_.label_metrics
model_of_data = dict(decode_head=dict(num_classes=num_classes))
