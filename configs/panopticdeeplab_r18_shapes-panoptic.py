_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/panopticdeeplab_r18_scratch.py",
    "./_base_/datasets/shapes_panoptic.py",
    "./_base_/schedules/scratch_400.py",
]
# Images are small (128 pixels): so are centres, and what counts as small.
model = dict(
    decode_head=dict(
        _base_.model_of_data.decode_head,
        criterion=dict(type="mmmaskformer.PanopticDeepLabCriterion", sigma=4, small_area=400),
        panoptic_fusion=dict(type="mmmaskformer.PanopticDeepLabFusion", stuff_area=64),
    )
)
optim_wrapper = dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
