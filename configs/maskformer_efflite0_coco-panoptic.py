_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_efflite0.py",
    "./_base_/datasets/coco_panoptic_small.py",
    "./_base_/schedules/efflite_1000.py",
]
model = dict(
    data_preprocessor=_base_.model_of_data.data_preprocessor,
    decode_head=dict(_base_.model_of_data.decode_head, num_queries=100),
    test_cfg=_base_.model_of_data.test_cfg,
)
# Images of many sizes: cuDNN would search for the fastest algorithms anew for each.
env_cfg = dict(cudnn_benchmark=False)
