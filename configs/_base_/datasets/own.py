# Your own data: `classes.txt` (one name a line), `images/{train,val}`, `annotations/{train,val}`.
_base_ = ["./ade20k.py"]
dataset = dict(type="mmmaskformer.FolderDataset", data_root="data/own")
train_files = dict(img_path="images/train", seg_map_path="annotations/train")
val_files = dict(img_path="images/val", seg_map_path="annotations/val")
train_dataloader = dict(dataset=dict(data_prefix=train_files, **dataset))
val_dataloader = dict(dataset=dict(data_prefix=val_files, **dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = _base_.label_metrics
