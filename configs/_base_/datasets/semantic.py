# What all semantic datasets share: steps by name, and the label of pixels that do not count.
ignore_index = 255
load_image = dict(type="mmmaskformer.LoadImageFromFile")
load_labels = dict(type="mmmaskformer.LoadAnnotations", ignore_index=ignore_index)
distort = dict(type="PhotoMetricDistortion")
flip = dict(type="RandomFlip", prob=0.5)
unflipped_and_flipped = [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)]
pack = dict(type="PackSegInputs")
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)
val_dataloader = test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
test_pipeline = [load_image, load_labels, pack]
label_metrics = [
    dict(type="mmmaskformer.IoUMetric", ignore_index=ignore_index),
    dict(type="mmmaskformer.SemanticPQMetric", ignore_index=ignore_index),
]
val_evaluator = test_evaluator = label_metrics
# What a model for this data has in common, whatever its backbone; each dataset adds its classes.
model_of_data = dict(
    data_preprocessor=dict(seg_pad_val=ignore_index),
    decode_head=dict(ignore_index=ignore_index),
)
