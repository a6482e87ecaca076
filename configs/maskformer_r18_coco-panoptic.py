_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_r18_panoptic_scratch.py",
    "./_base_/datasets/coco_panoptic_small.py",
    "./_base_/schedules/scratch_300.py",
]
model = dict(decode_head=dict(num_classes=_base_.num_classes, isthing=_base_.dataset.type))
# Images of many sizes: cuDNN would search for the fastest algorithms anew for each.
env_cfg = dict(cudnn_benchmark=False)
