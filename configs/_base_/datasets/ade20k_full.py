# 847 classes in label maps of 16 bits, made by tools/prepare_ade20k_full.py.
_base_ = ["./ade20k.py"]
num_classes = 847
ignore_index = 65535
load_labels = dict(_base_.load_labels, ignore_index=ignore_index)
pad = dict(_base_.pad, pad_val=dict(_base_.pad.pad_val, seg=ignore_index))
train_pipeline = [
    *(_base_.load_image, load_labels, _base_.resize, _base_.crop),
    *(_base_.distort, _base_.flip, pad, _base_.pack),
]
test_pipeline = [_base_.load_image, _base_.test_resize, load_labels, _base_.pack]
# Detectron2's defaults: neither the paper nor the released models say the sizes.
tta_resizes = [
    dict(type="Resize", scale=(4000, s), keep_ratio=True, backend="pillow")
    for s in range(400, 1201, 100)
]
views = [tta_resizes, _base_.unflipped_and_flipped, [load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, _base_.test_resize, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="mmmaskformer.ADE20KFullDataset", data_root="data/ade/ADE20K_2021_17_01")
train_files = dict(img_path="images_512/training", seg_map_path="labels_512/training")
val_files = dict(img_path="images_512/validation", seg_map_path="labels_512/validation")
train_dataloader = dict(dataset=dict(data_prefix=train_files, pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(data_prefix=val_files, pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = [
    dict(metric, ignore_index=ignore_index) for metric in _base_.label_metrics
]
model_of_data = dict(
    data_preprocessor=dict(seg_pad_val=ignore_index),
    decode_head=dict(num_classes=num_classes, ignore_index=ignore_index),
)
