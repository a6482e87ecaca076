# Learns eight images by heart: what is wired wrongly shows here first.
_base_ = ["./maskformer_r18_coco-panoptic.py"]
resize = dict(_base_.resize, scales=[(480, 256)])
flip = dict(_base_.flip, prob=0.0)
train_pipeline = [_base_.load_image, _base_.load_segments, resize, flip, _base_.pack]
train_dataloader = dict(batch_size=2, dataset=dict(indices=8, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(ann_file=_base_.train.ann_file, data_prefix=_base_.train.data_prefix, indices=8)
)
test_dataloader = val_dataloader
model = dict(decode_head=dict(transformer_decoder=dict(dropout=0.0)))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=800, val_interval=200)
