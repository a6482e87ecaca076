"""Models of configs with random weights, their training step and their inference."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import autocast, turn_on_activation_checkpointing
from torch import Tensor, nn

from mmmaskformer.engine.config_check import check_config
from mmmaskformer.engine.runner import read_config, set_options
from mmmaskformer.heads.maskformer_head import read_things

FRAMEWORKS = ("mmseg", "mmdet")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def short_name(config: str) -> str:
    """What tables call a config: its file's stem."""
    return Path(config.split("::")[-1]).stem


def short_names(configs: Sequence[str]) -> list[str]:
    """Of every config; ValueError where two are the same."""
    names = [short_name(config) for config in configs]
    if len(set(names)) < len(names):
        raise ValueError(f"configs must have different names, got {', '.join(names)}")
    return names


def load_config(
    config: str,
    options: dict | None = None,
    num_classes: int | None = None,
    frameworks: Sequence[str] = FRAMEWORKS[:1],
) -> Config:
    """A config file, or one of an installed package as `mmseg::...`.

    Args:
        options: overrides, as of `--cfg-options`.
        num_classes: of all heads; None: as the config says. Only for mmseg.
        frameworks: the config's may be one of them.

    Raises:
        ValueError: there is no such config, it is of another framework, or an option does not fit.
    """
    try:
        cfg = get_config(config) if "::" in config else None
    except Exception as error:
        raise ValueError(f"config {config}: {first_line(error)}") from error
    cfg = cfg if cfg is not None else read_config(config)
    set_options(cfg, options or {})
    check_config(cfg)
    if framework_of(cfg) not in frameworks or "model" not in cfg:
        wanted = " or ".join(frameworks)
        raise ValueError(f"config {config} must be a model of {wanted}, not of another framework")
    if num_classes is not None:
        if framework_of(cfg) == "mmdet":
            raise ValueError(
                f"config {config}: --num-classes is for models of mmseg; mmdet's know a number of "
                "things and one of stuff"
            )
        set_num_classes(cfg.model, num_classes)
    return cfg


def framework_of(cfg: Config) -> str:
    return cfg.get("default_scope", "mmseg")


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


def things_of(cfg: Config) -> tuple[bool, ...] | None:
    """Whether each class of a panoptic model of mmdet is a thing; None for a model of mmseg.

    Raises:
        ValueError: a model of mmdet that is not panoptic, or `isthing` does not fit.
    """
    if framework_of(cfg) == "mmseg":
        return None
    for part in dicts_in(cfg.model):
        if part.get("isthing") is not None and "num_classes" in part:
            try:
                return read_things(part["isthing"], part["num_classes"])
            except ValueError as error:
                raise ValueError(f"config {cfg.filename}: {error}") from error
        if "num_things_classes" in part and "num_stuff_classes" in part:
            return (True,) * part["num_things_classes"] + (False,) * part["num_stuff_classes"]
    raise ValueError(
        f"config {cfg.filename}: a model of mmdet must be panoptic: no head says isthing, or "
        "num_things_classes and num_stuff_classes"
    )


def common_classes(configs: Sequence[Config]) -> int:
    """Classes that the models of all configs know.

    Raises:
        ValueError: they are of different frameworks, or have different things and stuff.
    """
    if len({framework_of(cfg) for cfg in configs}) > 1:
        raise ValueError("configs of one run must be of one framework, got mmseg and mmdet")
    things = [things_of(cfg) for cfg in configs]
    if things[0] is None:
        return min(map(smallest_num_classes, configs))
    for cfg, others in zip(configs, things, strict=True):
        if others != things[0]:
            raise ValueError(
                f"config {cfg.filename}: the same classes must be things in all configs; in the "
                f"first {sum(things[0])} of {len(things[0])}, here {sum(others)} of {len(others)}"
            )
    return len(things[0])


def register(framework: str) -> None:
    """Import all that models are built of, and make the framework the default scope."""
    import_module(f"{framework}.utils").register_all_modules()
    for module in ("engine.registration", "datasets"):
        import_module(f"mmmaskformer.{module}")


def build(cfg: Config, device: str) -> nn.Module:
    """The model with random weights, the same at every call; nothing is downloaded.

    Raises:
        ValueError: the model cannot be built.
    """
    register(framework_of(cfg))
    MMLogger.get_current_instance().setLevel("ERROR")
    wanted = copy.deepcopy(cfg.model)
    for part in dicts_in(wanted):
        if isinstance(part.pop("pretrained", None), bool):
            part["pretrained"] = False  # timm's, which are loaded unless this says no
        part.pop("init_cfg", None)
    torch.manual_seed(0)
    try:
        model = MODELS.build(wanted)
    except Exception as error:
        raise ValueError(f"config {cfg.filename}: {first_line(error)}") from error
    if cfg.get("activation_checkpointing"):  # as the runner does before it trains
        turn_on_activation_checkpointing(model, cfg.activation_checkpointing)
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
        # Models write into the samples that they get, and need no ground truth.
        fresh = [type(sample)(metainfo=sample.metainfo) for sample in samples]
        with precision(amp, images.device.type):
            model.predict(images, fresh)

    return predict
