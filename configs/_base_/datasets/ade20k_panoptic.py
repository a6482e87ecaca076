# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./panoptic.py"]
num_classes = 150
crop_size = (640, 640)
resize = dict(
    type="RandomChoiceResize",
    scales=[(2560, int(640 * 0.1 * i)) for i in range(5, 21)],
    resize_type="mmmaskformer.AntialiasResize",
    keep_ratio=True,
)
crop = dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0, ignore_index=_base_.void)
pad = dict(type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=_base_.void))
train_pipeline = [
    *(_base_.load_image, _base_.load_segments, resize, crop),
    *(_base_.distort, _base_.flip, pad, _base_.pack),
]
tta_resizes = [
    dict(type="Resize", scale=(3072, s), keep_ratio=True, backend="pillow") for s in (512, 640, 768)
]
views = [tta_resizes, *_base_.views_of_a_size]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
# `ade20k_panoptic_*` come from tools/prepare_ade20k_panoptic.py.
dataset = dict(type="mmmaskformer.ADE20KPanopticDataset", data_root="data/ade/ADEChallengeData2016")
train_files = dict(img_path="images/training", seg_map_path="ade20k_panoptic_train")
val_files = dict(img_path="images/validation", seg_map_path="ade20k_panoptic_val")
train = dict(dataset, ann_file="ade20k_panoptic_train.json", data_prefix=train_files)
val = dict(dataset, ann_file="ade20k_panoptic_val.json", data_prefix=val_files)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **train))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline, **val))
test_dataloader = val_dataloader
model_of_data = dict(
    decode_head=dict(
        num_classes=num_classes,
        isthing=dataset["type"],
        panoptic_fusion=dict(object_threshold=0.7),
    )
)
