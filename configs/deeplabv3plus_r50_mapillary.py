# mmseg's dataset gives unlabelled pixels, 65 in the files, the ignored label 255.
_base_ = [
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-300k_mapillay_v1_65-1280x1280.py",
    "./_base_/zoo.py",
]
# The folders of our Mapillary configs; mmseg's name the version.
train_dataloader = dict(dataset=dict(data_prefix=dict(seg_map_path="training/labels")))
val_dataloader = dict(dataset=dict(data_prefix=dict(seg_map_path="validation/labels")))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = _base_.iou_evaluator
