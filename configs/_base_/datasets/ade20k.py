# Resizing with pillow, as the original does; OpenCV's bilinear differs when it shrinks.
_base_ = ["./semantic.py"]
num_classes = 150
crop_size = (512, 512)
resize = dict(
    type="RandomChoiceResize",
    scales=[(2048, int(512 * 0.1 * i)) for i in range(5, 21)],
    resize_type="mmmaskformer.AntialiasResize",
    keep_ratio=True,
)
crop = dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0)
pad = dict(
    type="Pad", size=crop_size[::-1], pad_val=dict(img=(128, 128, 128), seg=_base_.ignore_index)
)
train_pipeline = [
    *(_base_.load_image, _base_.load_labels, resize, crop),
    *(_base_.distort, _base_.flip, pad, _base_.pack),
]
test_resize = dict(type="Resize", scale=(2048, 512), keep_ratio=True, backend="pillow")
test_pipeline = [_base_.load_image, test_resize, _base_.load_labels, _base_.pack]
# The original augments the image that is already resized for testing.
tta_resizes = [
    dict(type="Resize", scale=(3584, s), keep_ratio=True, backend="pillow")
    for s in (256, 384, 512, 640, 768, 896)
]
views = [tta_resizes, _base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, test_resize, dict(type="TestTimeAug", transforms=views)]
dataset = dict(type="ADE20KDataset", data_root="data/ade/ADEChallengeData2016")
train_files = dict(img_path="images/training", seg_map_path="annotations/training")
val_files = dict(img_path="images/validation", seg_map_path="annotations/validation")
train_dataloader = dict(dataset=dict(data_prefix=train_files, pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(data_prefix=val_files, pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = [
    dict(type="mmmaskformer.SceneParsingMetric", ignore_index=_base_.ignore_index),
    dict(type="mmmaskformer.SemanticPQMetric", ignore_index=_base_.ignore_index),
]
model_of_data = dict(decode_head=dict(num_classes=num_classes))
