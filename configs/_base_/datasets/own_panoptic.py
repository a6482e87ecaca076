# Your own data in COCO's panoptic format: `{train,val}.json`, `panoptic/{train,val}`,
# `images/{train,val}`.
_base_ = ["./ade20k_panoptic.py"]
dataset = dict(type="mmmaskformer.PanopticDataset", data_root="data/own")
train_files = dict(img_path="images/train", seg_map_path="panoptic/train")
val_files = dict(img_path="images/val", seg_map_path="panoptic/val")
train_dataloader = dict(dataset=dict(ann_file="train.json", data_prefix=train_files, **dataset))
val_dataloader = dict(dataset=dict(ann_file="val.json", data_prefix=val_files, **dataset))
test_dataloader = val_dataloader
