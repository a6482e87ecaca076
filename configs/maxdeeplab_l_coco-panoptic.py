# The recipe of deeplab2, without its AutoAugment: 64 GPUs with one image each. The first four
# stages of the pixel decoder belong to what starts from ImageNet.
_base_ = [
    "./_base_/models/maxdeeplab_l.py",
    "./_base_/datasets/coco_panoptic_1025.py",
    "./_base_/schedules/adam_400k.py",
    "./_base_/runtime.py",
]
model = _base_.model_of_data
train_dataloader = dict(batch_size=1)
slower = [f"fuses.{i}" for i in range(4)] + [f"decoder.{i}.blocks" for i in range(3)]
optim_wrapper = dict(
    optimizer=dict(lr=3e-4),
    paramwise_cfg=dict(
        custom_keys={
            f"backbone.{name}": dict(lr_mult=0.1) for name in [*slower, "decoder.3.blocks.0"]
        }
    ),
)
