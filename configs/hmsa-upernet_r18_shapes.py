# HMSANet's attention between scales over another model.
_base_ = ["./upernet_r18_shapes.py"]
model = dict(type="mmmaskformer.ScaleAttention", attention_channels=64)
views = [_base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, dict(type="TestTimeAug", transforms=views)]
