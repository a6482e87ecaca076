"""Models of configs with random weights, their training step and their inference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner import autocast
from torch import Tensor, nn

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def short_name(config: str) -> str:
    """What tables call a config: its file's stem."""
    return Path(config.split("::")[-1]).stem


def load_config(config: str, options: dict | None = None, num_classes: int | None = None) -> Config:
    """A config file, or one of an installed package as `mmseg::...`.

    Args:
        options: overrides, as of `--cfg-options`.
        num_classes: of all heads; None: as the config says.

    Raises:
        ValueError: there is no such config, it is not for mmseg, or an option does not fit.
    """
    if "::" not in config and not Path(config).is_file():
        raise ValueError(f"config {config} does not exist")
    try:
        cfg = get_config(config) if "::" in config else Config.fromfile(config)
        cfg.merge_from_dict(options or {})
    except Exception as error:
        raise ValueError(f"config {config}: {first_line(error)}") from error
    if cfg.get("default_scope", "mmseg") != "mmseg" or "model" not in cfg:
        raise ValueError(f"config {config} must be a model of mmseg, not of another framework")
    if num_classes is not None:
        set_num_classes(cfg.model, num_classes)
    return cfg


def first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"


def dicts_in(value) -> list[dict]:
    """All dictionaries of a nested config, outermost first."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple)):
        return []
    found = [value] if isinstance(value, dict) else []
    return found + [entry for child in inner for entry in dicts_in(child)]


def set_num_classes(model: dict, num_classes: int) -> None:
    """Change the classes of all heads, and class weights written out with "no object" last."""
    for part in dicts_in(model):
        if "num_classes" in part:
            old, part["num_classes"] = part["num_classes"], num_classes
            weights = part.get("loss_cls", {}).get("class_weight")
            if isinstance(weights, (list, tuple)) and len(weights) == old + 1:
                part["loss_cls"]["class_weight"] = [weights[0]] * num_classes + [weights[-1]]


def smallest_num_classes(cfg: Config) -> int:
    """Classes that all heads of the model know."""
    counts = [part["num_classes"] for part in dicts_in(cfg.model) if "num_classes" in part]
    if not counts:
        raise ValueError(f"config {cfg.filename}: no head says num_classes")
    return min(counts)


def build(cfg: Config, device: str) -> nn.Module:
    """The model with random weights, the same at every call; nothing is downloaded.

    Raises:
        ValueError: the model cannot be built.
    """
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    MMLogger.get_current_instance().setLevel("ERROR")
    wanted = copy.deepcopy(cfg.model)
    for part in dicts_in(wanted):
        part.pop("pretrained", None)
        part.pop("init_cfg", None)
    torch.manual_seed(0)
    try:
        model = MODELS.build(wanted)
    except Exception as error:
        raise ValueError(f"config {cfg.filename}: {first_line(error)}") from error
    return (model if device != "cpu" else revert_sync_batchnorm(model)).to(device)


def precision(amp: str | None, device: str) -> AbstractContextManager:
    """Autocast to the precision; None: fp32."""
    return autocast(device.split(":")[0], dtype=DTYPES[amp]) if amp else nullcontext()


def build_optimizer(model: nn.Module, cfg: Config, amp: str | None, device: str) -> OptimWrapper:
    """Optimizer and clipping of the config, fp16's loss scaling where it is asked for."""
    wanted = ("optimizer", "clip_grad", "paramwise_cfg", "constructor")
    wrapper = {key: cfg.optim_wrapper[key] for key in wanted if key in cfg.optim_wrapper}
    if amp and device != "cpu":
        dtype = {"fp16": "float16", "bf16": "bfloat16"}[amp]
        return build_optim_wrapper(
            model, dict(wrapper, type="AmpOptimWrapper", loss_scale="dynamic", dtype=dtype)
        )
    return build_optim_wrapper(model, dict(wrapper, type="OptimWrapper"))


def laid_out(model: nn.Module, images: Tensor) -> Tensor:
    """The images in memory as the model's preprocessor stores them."""
    usual = torch.contiguous_format
    wanted = getattr(model.data_preprocessor, "memory_format", usual)
    return images.contiguous(memory_format=wanted)


def training_step(
    model: nn.Module, optimizer: OptimWrapper, images: Tensor, samples: list, amp: str | None = None
) -> Callable[[], None]:
    """Forward, loss, backward, clip, update."""
    images = laid_out(model, images)

    def step() -> None:
        with precision(amp, images.device.type):
            loss, _ = model.parse_losses(model.loss(images, samples))
        optimizer.update_params(loss)

    return step


def prediction(
    model: nn.Module, images: Tensor, samples: list, amp: str | None = None
) -> Callable[[], None]:
    """Inference: from images to what the model writes into its samples."""
    images = laid_out(model, images)

    @torch.no_grad()
    def predict() -> None:
        # mmseg's models write into the samples that they get.
        with precision(amp, images.device.type):
            model.predict(images, [sample.clone() for sample in samples])

    return predict
