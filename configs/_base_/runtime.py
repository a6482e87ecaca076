# Must come first: it mends the stack before mmseg's models are imported.
custom_imports = dict(imports=["mmmaskformer"], allow_failed_imports=False)
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
visualizer = dict(
    type="mmmaskformer.PanopticSegVisualizer",
    vis_backends=[dict(type="LocalVisBackend")],
    name="visualizer",
    alpha=0.6,
)
custom_hooks = [dict(type="mmmaskformer.KeepFolders")]
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False
tta_model = dict(type="mmmaskformer.MaskFormerTTA")
