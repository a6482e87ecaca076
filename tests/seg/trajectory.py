"""Training as a user trains, with stock mmengine's runner, on the batches of a reference."""

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from tests.conftest import ROOT
from tests.seg.reference import original_loss_name

ONLY_NOISE = "decode_head.predictor.transformer_decoder.layers.0.self_attn.in_proj_weight"
"""The first self-attention's values are all equal, so this gradient is 0 but for rounding."""


class Samples:
    """What the pipeline's end packs: BGR images and labels, padded to one size."""

    def __init__(self, images, labels, reference):
        self.images, self.labels, self.reference = images, labels, reference

    def __len__(self):
        return len(self.images)

    def padded(self, array, value):
        full = array.new_full((*array.shape[:-2], *self.reference["pad_to"]), value)
        full[..., : array.shape[-2], : array.shape[-1]] = array
        return full

    def __getitem__(self, index):
        shape = tuple(self.reference["pad_to"])
        sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape))
        labels = self.padded(self.labels[index], self.reference["label_ignore"])
        sample.gt_sem_seg = PixelData(data=labels[None].long())
        image = self.padded(self.images[index], self.reference["image_pad_value"])
        return dict(inputs=image[[2, 1, 0]], data_samples=sample)


class Record(Hook):
    """What the original's files hold, under our names; training ends after `steps`."""

    priority = "VERY_LOW"

    def __init__(self, steps, keep_after=()):
        self.steps, self.keep_after = steps, keep_after
        self.losses, self.total, self.grad_norm, self.lr = [], [], [], []
        self.grad_norms, self.parameters, self.weight_decay = [], {}, {}

    def before_train(self, runner):
        self.named = dict(runner.model.named_parameters())
        self.keep(runner, 0)
        for name, parameter in self.named.items():
            if parameter.requires_grad:  # before the gradients are clipped
                parameter.register_post_accumulate_grad_hook(
                    lambda p, name=name: self.grad_norms[-1].update({name: p.grad.norm().item()})
                )

    def keep(self, runner, step):
        self.parameters[step] = {n: p.detach().clone() for n, p in self.named.items()}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.grad_norms.append({})
        names = {id(parameter): name for name, parameter in self.named.items()}
        groups = runner.optim_wrapper.optimizer.param_groups
        members = [(names[id(p)], group) for group in groups for p in group["params"]]
        self.lr.append({name: group["lr"] for name, group in members})
        self.weight_decay = {name: group["weight_decay"] for name, group in members}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        values = {name: float(value) for name, value in outputs.items()}
        self.total.append(values.pop("loss"))
        self.losses.append({original_loss_name(n): v for n, v in values.items() if "loss" in n})
        scalars = runner.message_hub.log_scalars
        if "train/grad_norm" in scalars:
            self.grad_norm.append(scalars["train/grad_norm"].current())
        step = runner.iter + 1
        if step in self.keep_after:
            self.keep(runner, step)
        runner.train_loop.stop_training = step >= self.steps


def config_of(reference, name, run):
    """Our config of a name with the run's changes, which are those made to the original's."""
    meta, cfg = reference["meta"], Config.fromfile(ROOT / "configs" / f"{name}.py")
    cfg.model.backbone.init_cfg = None
    cfg.model.decode_head.transformer_decoder.dropout = meta["dropout"]
    if "swin" in name:
        cfg.model.backbone.drop_path_rate = meta["drop_path"]
    if run == "recipe_float32":
        cfg.optim_wrapper.optimizer.lr *= meta["base_lr_factor_of_recipe_float32"]
        return cfg
    short = meta["short"]
    # The original multiplies by this number in single precision.
    cfg.model.decode_head.loss_cls.no_object_weight = float(np.float32(0.1))
    cfg.optim_wrapper.optimizer.weight_decay = short["weight_decay"]
    cfg.optim_wrapper.optimizer.lr *= short["base_lr_factor"]
    for scheduler in cfg.param_scheduler:
        if "iters" in scheduler:  # a warm-up; the others end with the run
            scheduler.iters = short["swin_warmup_iters"]
    cfg.train_cfg.max_iters = short["max_iter"]
    return cfg


def train(cfg, samples, record, work_dir, checkpoint=None, prepare=None):
    """Train the config's model in the order of the samples, two a step, with mmengine's runner."""
    register_all_modules()
    model = MODELS.build(cfg.model)
    if prepare is not None:
        prepare(model)
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="InfiniteSampler", shuffle=False),
            dataset=samples,
        ),
        train_cfg=cfg.train_cfg,
        optim_wrapper=cfg.optim_wrapper,
        param_scheduler=cfg.param_scheduler,
        load_from=checkpoint and str(checkpoint),
        default_hooks=dict(logger=None, checkpoint=None, timer=None),
        custom_hooks=[record],
        log_level="ERROR",
        default_scope="mmseg",
        experiment_name=work_dir.name,
    )
    runner.train()
