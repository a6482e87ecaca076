# HMSANet's attention between scales over another model.
_base_ = ["./maskformer_r18_camvid.py"]
model = dict(type="mmmaskformer.ScaleAttention", attention_channels=64)
views = [_base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, _base_.test_resize, dict(type="TestTimeAug", transforms=views)]
