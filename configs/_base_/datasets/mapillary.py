# Mapillary Vistas v1.2: 65 classes, 65 is "unlabelled". The longer side is 2048 in tests.
_base_ = ["./ade20k.py"]
ignore_index = 65
load_labels = dict(type="mmmaskformer.LoadAnnotations", ignore_index=ignore_index)
crop_size = (1280, 1280)
train_pipeline = _base_.train_pipeline
train_pipeline[1] = load_labels
train_pipeline[2].scales = [(8192, int(2048 * 0.1 * i)) for i in range(5, 21)]
train_pipeline[3].crop_size = train_pipeline[6].size = crop_size
train_pipeline[6].pad_val.seg = ignore_index
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2048, 2048)
test_pipeline[2] = load_labels
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].scale = (2048, 2048)
# Factors 0.5, 1 and 1.5, as the paper says; the released model leaves the sizes unset.
tta_pipeline[2].transforms[0] = [
    dict(type="Resize", scale=(side, side), keep_ratio=True, backend="pillow")
    for side in (1024, 2048, 3072)
]
tta_pipeline[2].transforms[2] = [load_labels]
dataset = dict(type="mmmaskformer.MapillaryDataset", data_root="data/mapillary")
train_dataloader = dict(
    num_workers=10,
    dataset=dict(
        data_prefix=dict(img_path="training/images", seg_map_path="training/labels"),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="validation/images", seg_map_path="validation/labels"),
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
    decode_head=dict(num_classes=65, ignore_index=ignore_index),
)
