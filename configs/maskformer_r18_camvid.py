_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/maskformer_r18_scratch.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
model = _base_.model_of_data
