# Small, and without pretrained weights.
_base_ = [
    "./_base_/runtime.py",
    "./_base_/models/hmsanet_r50.py",
    "./_base_/datasets/camvid.py",
    "./_base_/schedules/scratch_300.py",
]
head = dict(in_channels=[64, 512], pyramid_channels=64, reduced_channels=[48, 80], width=64)
model = dict(
    attention_channels=64,
    backbone=dict(depth=18, zero_init_residual=True, init_cfg=None),
    decode_head=dict(_base_.model_of_data.decode_head, **head),
)
views = [_base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, _base_.test_resize, dict(type="TestTimeAug", transforms=views)]
