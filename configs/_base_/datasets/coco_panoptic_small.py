# COCO panoptic at sizes that a CPU can train.
_base_ = ["./coco_panoptic.py"]
train_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadPanopticAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[(480, s) for s in (224, 256, 288)],
        resize_type="mmmaskformer.AntialiasResize",
        keep_ratio=True,
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmmaskformer.PackPanopticInputs"),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (480, 256)
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
