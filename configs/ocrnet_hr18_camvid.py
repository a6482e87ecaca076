_base_ = [
    "mmseg::_base_/models/ocrnet_hr18.py",
    "./_base_/runtime.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
fcn_head, ocr_head = _base_.model.decode_head
fcn_head.num_classes = ocr_head.num_classes = 11
model = dict(
    pretrained=None, data_preprocessor=dict(size_divisor=32), decode_head=[fcn_head, ocr_head]
)
