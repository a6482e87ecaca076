# Learns eight images by heart: what is wired wrongly shows here first.
_base_ = ["./maskformer_r18_coco-panoptic.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(480, 256)]
train_pipeline[3].prob = 0.0
test_pipeline = _base_.test_pipeline
train_dataloader = _base_.train_dataloader
train_dataloader.update(batch_size=2)
train_dataloader.dataset.update(indices=8, pipeline=train_pipeline)
val_dataloader = dict(
    dataset=dict(
        ann_file=train_dataloader.dataset.ann_file,
        data_prefix=train_dataloader.dataset.data_prefix,
        indices=8,
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
model = dict(decode_head=dict(transformer_decoder=dict(dropout=0.0)))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=800, val_interval=200)
