# All classes as stuff, as in Table III.
_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/panopticdeeplab_r18_scratch.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
isthing = [False] * _base_.num_classes
model = dict(
    _base_.model_of_data,
    decode_head=dict(_base_.model_of_data.decode_head, isthing=isthing),
    test_cfg=dict(panoptic_on=False),
)
optim_wrapper = dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
