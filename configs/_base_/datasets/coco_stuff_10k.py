# COCO-Stuff-10K v1.0, prepared by tools/prepare_coco_stuff_10k.py.
_base_ = ["./ade20k_640.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(2560, int(640 * 0.1 * i)) for i in range(5, 16)]
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
val_evaluator = [dict(type="mmmaskformer.IoUMetric"), dict(type="mmmaskformer.SemanticPQMetric")]
test_evaluator = val_evaluator
