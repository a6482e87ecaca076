# Your own data: `classes.txt` (one name a line), `images/{train,val}`, `annotations/{train,val}`.
_base_ = ["./ade20k.py"]
dataset = dict(type="mmmaskformer.FolderDataset", data_root="data/own")
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="images/train", seg_map_path="annotations/train"), **dataset
    )
)
val_dataloader = dict(
    dataset=dict(data_prefix=dict(img_path="images/val", seg_map_path="annotations/val"), **dataset)
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="mmmaskformer.IoUMetric"), dict(type="mmmaskformer.SemanticPQMetric")]
test_evaluator = val_evaluator
