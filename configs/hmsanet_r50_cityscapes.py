# Images and iterations of our other models, as there is no recipe for a ResNet; each scale has a
# loss of its own beside the joint one.
_base_ = [
    *("./_base_/models/hmsanet_r50.py", "./_base_/datasets/cityscapes.py"),
    *("./_base_/schedules/sgd_225k.py", "./_base_/runtime.py"),
]
model = dict(
    _base_.model_of_data,
    scale_loss=dict(type="mmmaskformer.RMILoss", bound_share=0, loss_weight=0.05),
)
train_cfg = dict(max_iters=90000)
views = [_base_.unflipped_and_flipped, [_base_.load_labels], [_base_.pack]]
tta_pipeline = [_base_.load_image, _base_.test_resize, dict(type="TestTimeAug", transforms=views)]
