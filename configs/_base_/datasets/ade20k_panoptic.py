# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./panoptic.py"]
crop_size = (640, 640)
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadPanopticAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[(2560, int(640 * 0.1 * i)) for i in range(5, 21)],
        resize_type="mmmaskformer.AntialiasResize",
        keep_ratio=True,
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0, ignore_index=0),
    dict(type="PhotoMetricDistortion"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=0)),
    dict(type="mmmaskformer.PackPanopticInputs"),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2560, 640)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type="Resize", scale=(3072, s), keep_ratio=True, backend="pillow") for s in (512, 640, 768)
]
# `ade20k_panoptic_*` come from tools/prepare_ade20k_panoptic.py.
dataset = dict(type="mmmaskformer.ADE20KPanopticDataset", data_root="data/ade/ADEChallengeData2016")
train_dataloader = dict(
    dataset=dict(
        ann_file="ade20k_panoptic_train.json",
        data_prefix=dict(img_path="images/training", seg_map_path="ade20k_panoptic_train"),
        pipeline=train_pipeline,
        **dataset,
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file="ade20k_panoptic_val.json",
        data_prefix=dict(img_path="images/validation", seg_map_path="ade20k_panoptic_val"),
        pipeline=test_pipeline,
        **dataset,
    )
)
test_dataloader = val_dataloader
