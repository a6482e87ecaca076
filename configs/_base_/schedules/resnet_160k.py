optim_wrapper = dict(
    type="OptimWrapper",
    constructor="mmmaskformer.MergedGroups",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={"backbone": dict(lr_mult=0.1), "query_embed": dict(decay_mult=0.0)},
    ),
)
# As long as the run: mmengine passes the schedule `max_iters`.
param_scheduler = [dict(type="mmmaskformer.PolyLR", power=0.9, by_epoch=False)]
train_cfg = dict(type="mmmaskformer.IterBasedTrainLoop", max_iters=160000, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="mmmaskformer.CheckpointHook", by_epoch=False, interval=5000, max_keep_ckpts=3
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
