# NYU Depth v2 with 40 classes, laid out as one's own data (docs/data.md). Its photographs of
# 427x320 are resized as those of CamVid.
_base_ = ["./camvid.py"]
num_classes = 40
dataset = dict(type="mmmaskformer.FolderDataset", data_root="data/nyuv2_40")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dict(data_prefix=_base_.val_files, **dataset))
model_of_data = dict(decode_head=dict(num_classes=num_classes))
