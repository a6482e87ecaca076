_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maxdeeplab_tiny.py",
    "./_base_/datasets/shapes_panoptic.py",
    "./_base_/schedules/scratch_400.py",
]
# Images have 128 pixels: one more, and the corners of all levels lie on each other.
fusion = dict(type="mmmaskformer.SlotPanopticFusion", thing_area=16, stuff_area=64)
head = _base_.model_of_data.decode_head
padding = dict(size=(129, 129), size_divisor=None, test_cfg=dict(_delete_=True, size=(129, 129)))
model = dict(
    data_preprocessor=padding,
    decode_head=dict(head, panoptic_fusion=fusion),
    auxiliary_head=head,
)
# Five times deeplab2's: a mask is as sharp as the norm's weight, which has few steps to grow.
optim_wrapper = dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-3))
