# Of mmseg's schedules, the one nearest to the 300k iterations of the other Mapillary models.
_base_ = [
    "./_base_/models/ocrnet_r101.py",
    "./_base_/datasets/mapillary.py",
    "mmseg::_base_/schedules/schedule_320k.py",
    "./_base_/runtime.py",
]
data = _base_.model_of_data
model = dict(
    data_preprocessor=dict(size=_base_.crop_size, **data.data_preprocessor),
    decode_head=[dict(head, **data.decode_head) for head in _base_.model.decode_head],
)
