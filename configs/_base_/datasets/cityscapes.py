# Crops always fit: nothing is padded.
_base_ = ["./ade20k.py"]
crop_size = (512, 1024)
train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(4096, int(1024 * 0.1 * i)) for i in range(5, 21)]
train_pipeline[3].crop_size = crop_size
del train_pipeline[6]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2048, 1024)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].scale = (2048, 1024)
for resize, size in zip(
    tta_pipeline[2].transforms[0], (512, 768, 1024, 1280, 1536, 1792), strict=True
):
    resize.scale = (4096, size)
# Labels as cityscapesScripts' `createTrainIdLabelImgs` makes them.
dataset = dict(type="CityscapesDataset", data_root="data/cityscapes")
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        pipeline=train_pipeline,
        **dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="mmmaskformer.IoUMetric"),
    dict(type="mmmaskformer.SemanticPQMetric"),
]
test_evaluator = val_evaluator
del resize, size
