"""Values of a config that mmengine takes and that can not be meant."""

from __future__ import annotations

import logging
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper

from ..utils.text import listing
from .cpu_amp import wrapper_class

SPLITS = ("train", "val", "test")
AT_LEAST = {
    **{f"{split}_dataloader.batch_size": 1 for split in SPLITS},
    **{f"{split}_dataloader.num_workers": 0 for split in SPLITS},
    "train_cfg.max_iters": 1,
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
    "train_cfg.val_begin": 0,
    "default_hooks.logger.interval": 1,
    "default_hooks.visualization.interval": 1,
    "optim_wrapper.accumulative_counts": 1,
    "auto_scale_lr.base_batch_size": 1,
}
"""Whole numbers, and the least of them."""
MOST_SEED = 2**32 - 1
"""numpy takes no larger one."""
OR_NEVER = ("default_hooks.checkpoint.interval", "default_hooks.checkpoint.max_keep_ckpts")
"""Whole numbers above 0, or -1, which means never or all."""
NOT_NEGATIVE = ("loss_weight", "no_object_weight", "lr", "weight_decay", "max_norm")
"""Numbers, wherever they stand in the model or the optimizer."""
TYPES = {
    "load_from": ((str, os.PathLike), "a checkpoint's file name or URL"),
    "default_scope": (str, "the name of a package, such as 'mmseg'"),
    "resume": (bool, "True or False"),
    "work_dir": (str, "a folder's name"),
    "custom_hooks": ((list, tuple), "a list"),
    "default_hooks": (Mapping, "a dict"),
    "optim_wrapper": (Mapping, "a dict"),
    "auto_scale_lr.enable": (bool, "True or False"),
    "model.backbone": (Mapping, "a dict"),
    **{f"{split}_dataloader.dataset": (Mapping, "a dict") for split in SPLITS},
    "model.decode_head.num_classes": (int, "a whole number"),
    **{f"{split}_dataloader.dataset.pipeline": ((list, tuple), "a list") for split in SPLITS},
    **{f"{split}_dataloader.dataset.data_root": (str, "a folder's name") for split in SPLITS},
    **{
        f"{split}_{part}": (Mapping, "a dict") for split in SPLITS for part in ("dataloader", "cfg")
    },
}


def value_at(cfg: Config, place: str) -> Any:
    """The value at a dotted place; None where there is none."""
    value: Any = cfg
    for key in place.split("."):
        value = value.get(key) if isinstance(value, (Mapping, Config)) else None
    return value


def check_values(cfg: Config) -> None:
    """Raise ValueError for the first value that can not be meant; names place, value, wanted."""
    for place, value, wanted in problems(cfg):
        raise ValueError(f"{cfg.filename}: {place}={value!r}: it must be {wanted}")
    for key in ("model", "optim_wrapper"):
        for place, value in negatives(cfg.get(key), key):
            raise ValueError(f"{cfg.filename}: {place}={value!r}: it must be a number, 0 or more")
    for split in SPLITS:
        loader = cfg.get(f"{split}_dataloader") or {}
        for key in ("persistent_workers", "prefetch_factor"):
            if loader.get(key) and not loader.get("num_workers"):
                raise ValueError(
                    f"{cfg.filename}: {split}_dataloader.{key}={loader[key]!r} needs "
                    f"num_workers above 0; without workers set {split}_dataloader.{key}="
                    f"{False if key == 'persistent_workers' else None}"
                )


def problems(cfg: Config) -> Iterator[tuple[str, Any, str]]:
    """Places whose values are of a wrong type or too small, the values, and what is wanted."""
    for place, least in AT_LEAST.items():
        value = value_at(cfg, place)
        if value is not None and not (is_whole(value) and value >= least):
            yield place, value, f"a whole number, {least} or more"
    for place in OR_NEVER:
        value = value_at(cfg, place)
        if value is not None and not (is_whole(value) and (value >= 1 or value == -1)):
            yield place, value, "a whole number above 0, or -1"
    for place, (kind, wanted) in TYPES.items():
        value = value_at(cfg, place)
        if value is not None and not isinstance(value, kind):
            yield place, value, wanted
    seed = value_at(cfg, "randomness.seed")
    if seed is not None and not (is_whole(seed) and 0 <= seed <= MOST_SEED):
        yield "randomness.seed", seed, f"a whole number, 0 to {MOST_SEED}"
    for key, low, wanted in (("mean", -math.inf, "numbers"), ("std", 0, "numbers above 0")):
        place = f"model.data_preprocessor.{key}"
        values = value_at(cfg, place)
        if values is not None and not are_above(values, low):
            yield place, values, f"a list of {wanted}"
    for place in no_views(cfg.get("tta_pipeline")):
        yield place, [], "a list of one or more transforms, of which each makes a view"
    level = cfg.get("log_level")
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        yield "log_level", level, "the name of a level of logging, such as 'INFO'"
    if wrapper_class(cfg.get("optim_wrapper")) is AmpOptimWrapper:
        yield from no_amp_settings(cfg.optim_wrapper)


def no_amp_settings(optim_wrapper: Mapping) -> Iterator[tuple[str, Any, str]]:
    """The same for settings that mmengine's wrapper of mixed precision refuses, on a GPU only."""
    dtype, names = optim_wrapper.get("dtype"), AmpOptimWrapper.valid_dtypes
    if not (dtype is None or isinstance(dtype, torch.dtype) or dtype in names):
        yield "optim_wrapper.dtype", dtype, f"one of {listing(names)}"
    scale = optim_wrapper.get("loss_scale", "dynamic")
    if not (scale == "dynamic" or isinstance(scale, (float, Mapping))):
        yield "optim_wrapper.loss_scale", scale, "'dynamic', a float such as 512.0, or a dict"


def no_views(pipeline: Any) -> Iterator[str]:
    """Places in a pipeline of test-time augmentation with no transform to choose from."""
    for i, step in enumerate(pipeline if isinstance(pipeline, (list, tuple)) else ()):
        if isinstance(step, Mapping) and str(step.get("type")).endswith("TestTimeAug"):
            choices = step.get("transforms")
            for j, choice in enumerate(choices if isinstance(choices, (list, tuple)) else ()):
                if isinstance(choice, (list, tuple)) and not choice:
                    yield f"tta_pipeline.{i}.transforms.{j}"


def are_above(values: Any, low: float) -> bool:
    """Whether these are finite numbers above a number."""
    return isinstance(values, (list, tuple)) and all(
        isinstance(value, numbers.Real) and low < value < math.inf for value in values
    )


def negatives(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Places below a value, and the values there, of numbers that should not be negative."""
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from negatives(item, f"{place}.{i}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in NOT_NEGATIVE and not isinstance(item, (Mapping, list, tuple, type(None))):
                number = isinstance(item, numbers.Real) and not isinstance(item, bool)
                if not (number and item >= 0):
                    yield f"{place}.{key}", item
            else:
                yield from negatives(item, f"{place}.{key}")


def is_whole(value: Any) -> bool:
    """Whether mmengine can take a value as a whole number: 2e4 is one, and so is infinity."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and (math.isinf(value) or value == int(value))
