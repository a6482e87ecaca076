# Of mmseg's schedules, the one nearest to the 300k iterations of the other Mapillary models.
_base_ = [
    "./_base_/models/ocrnet_r101.py",
    "./_base_/datasets/mapillary.py",
    "mmseg::_base_/schedules/schedule_320k.py",
    "./_base_/runtime.py",
]
heads = _base_.model.decode_head
heads[0].num_classes = heads[1].num_classes = 65
heads[0].ignore_index = heads[1].ignore_index = _base_.ignore_index
model = dict(
    data_preprocessor=dict(size=_base_.crop_size, seg_pad_val=_base_.ignore_index),
    decode_head=heads,
)
