# 847 classes in label maps of 16 bits, made by tools/prepare_ade20k_full.py.
_base_ = ["./ade20k.py"]
ignore_index = 65535
load_labels = dict(type="mmmaskformer.LoadAnnotations", ignore_index=ignore_index)
train_pipeline = _base_.train_pipeline
train_pipeline[1] = load_labels
train_pipeline[6].pad_val.seg = ignore_index
test_pipeline = _base_.test_pipeline
test_pipeline[2] = load_labels
tta_pipeline = _base_.tta_pipeline
tta_pipeline[2].transforms[2] = [load_labels]
# Detectron2's defaults: neither the paper nor the released models say the sizes.
tta_pipeline[2].transforms[0] = [
    dict(type="Resize", scale=(4000, s), keep_ratio=True, backend="pillow")
    for s in range(400, 1201, 100)
]
dataset = dict(type="mmmaskformer.ADE20KFullDataset", data_root="data/ade/ADE20K_2021_17_01")
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="images_512/training", seg_map_path="labels_512/training"),
        pipeline=train_pipeline,
        **dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="images_512/validation", seg_map_path="labels_512/validation"),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="mmmaskformer.IoUMetric", ignore_index=ignore_index),
    dict(type="mmmaskformer.SemanticPQMetric", ignore_index=ignore_index),
]
test_evaluator = val_evaluator
# What a model for this data has in common, whatever its backbone.
model_of_data = dict(
    data_preprocessor=dict(seg_pad_val=ignore_index),
    decode_head=dict(num_classes=847, ignore_index=ignore_index),
)
