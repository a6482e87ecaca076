# What all semantic datasets share.
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
test_dataloader = val_dataloader
test_pipeline = [
    dict(type="mmmaskformer.LoadImageFromFile"),
    dict(type="mmmaskformer.LoadAnnotations"),
    dict(type="PackSegInputs"),
]
val_evaluator = [
    dict(type="mmmaskformer.IoUMetric"),
    dict(type="mmmaskformer.SemanticPQMetric"),
]
test_evaluator = val_evaluator
