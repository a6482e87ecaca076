_base_ = [
    "./_base_/models/maskformer_r101_panoptic.py",
    "./_base_/datasets/coco_panoptic.py",
    "./_base_/schedules/resnet_554k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
# Images of many sizes: cuDNN would search for the fastest algorithms anew for each.
env_cfg = dict(cudnn_benchmark=False)
