_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/mmseg_maskformer_r18_scratch.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
num_classes = _base_.num_classes
model = dict(
    decode_head=dict(
        num_classes=num_classes, loss_cls=dict(class_weight=[1.0] * num_classes + [0.1])
    )
)
