"""What the tools that train and test share: arguments, config, runner."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner
from torch.distributed.fsdp import FullyShardedDataParallel

from ..dataset_check.quick import quick_check
from ..utils.command import one_line
from ..utils.files import check_input
from ..utils.text import listing
from .config_check import check_bases, check_config, config_errors
from .cpu import prepare_cpu_distributed, replace_sync_batch_norm
from .cpu_amp import use_amp, use_cpu_amp, wrapper_class
from .fit import check_fit, checked_weights, report_fit, shapes_of
from .trained_on import contradictions

RUNNER_ONLY = (
    *("model_wrapper_cfg", "find_unused_parameters", "sync_bn", "compile"),
    "activation_checkpointing",
)
"""Top-level keys of a config that FlexibleRunner does not read: its strategy has them."""
READ_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *("auto_scale_lr", "tta_model", "tta_pipeline", "runner_type", "strategy", *RUNNER_ONLY),
}
"""Top-level keys of a config that the runner or the tools read."""


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of mmseg's tools that training and testing share."""
    parser.add_argument("--work-dir", help="folder for logs, checkpoints and results")
    add_config_options(parser)
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="launcher"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """`--cfg-options`, which `load_config` applies."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=Options,
        help="override settings of the config, as key=value or a.b.c=value; items of lists by "
        'number or type, as in pipeline.RandomCrop.crop_size; lists as key="[a,b]" or key=a,b, '
        "without white space",
    )


class Options(DictAction):
    """mmengine's action of `--cfg-options`, whose complaints name the option."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if value.find("=") < 1:
                parser.error(f"{option_string} must be KEY=VALUE, got {value!r}")
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (AssertionError, ValueError) as error:
                parser.error(f"{option_string} {value}: {error}")
            except RecursionError:  # mmengine's answer to dicts in lists
                parser.error(f"{option_string} {value}: dicts cannot be given here; write a config")


def load_config(args: argparse.Namespace) -> Config:
    """The config with `--cfg-options`, `--amp`, launcher and work_dir applied.

    Raises:
        FileNotFoundError, ValueError: no such config, it can not be read, an option for a key
            that nothing reads, a key, type or value that nothing takes, or --amp for a wrapper
            that can not have it.
    """
    os.environ.setdefault("LOCAL_RANK", str(getattr(args, "local_rank", 0)))
    cfg = read_config(args.config)
    set_options(cfg, args.cfg_options or {})
    if getattr(args, "amp", False) and isinstance(cfg.get("optim_wrapper"), dict):
        use_amp(cfg.optim_wrapper)
    check_config(cfg)
    warn_of_fixed_schedule(cfg)
    cfg.launcher = getattr(args, "launcher", "none")
    if getattr(args, "work_dir", None) is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(args.config).stem)
    return cfg


def read_config(path: str) -> Config:
    """A config file; whatever is wrong with it is one ValueError or FileNotFoundError."""
    if Path(path).is_dir():
        raise ValueError(f"config {path} is a folder; wanted a .py file, as in configs/")
    check_input(path, "config")
    check_bases(path)
    try:
        return Config.fromfile(path)
    except Exception as error:  # it is Python, so it may raise anything
        raise ValueError(
            f"config {path} can not be read: {type(error).__name__}: {one_line(error)}"
        ) from error


def set_options(cfg: Config, options: dict) -> None:
    """Apply `--cfg-options`; ValueError for a key that nothing reads, or that does not fit."""
    for key, value in options.items():
        check_read(cfg, key)
        place = numbered(cfg, key)
        try:
            cfg.merge_from_dict({place: value})
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"--cfg-options {key}={value}: it does not fit {cfg.filename}: {one_line(error)}"
            ) from error


def check_read(cfg: Config, key: str) -> None:
    """Raise ValueError unless the runner or the tools read an option's key."""
    top = key.split(".")[0]
    if top in READ_KEYS:
        return
    if top in cfg:
        raise ValueError(
            f"--cfg-options {key}: {top!r} is a variable of the config file; change the "
            "settings made from it, for instance train_dataloader.dataset.data_root"
        )
    close = difflib.get_close_matches(top, READ_KEYS, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"--cfg-options {key}: nothing reads {top!r}{hint}")


def numbered(cfg: Config, key: str) -> str:
    """An option's key, where list items may be named by their type, with their positions.

    `train_dataloader.dataset.pipeline.RandomCrop.crop_size` names the step of this type, of any
    scope, and becomes for instance `train_dataloader.dataset.pipeline.3.crop_size`.

    Raises:
        ValueError: no item of the list has this type, or several have.
    """
    value, parts = cfg, []
    for part in key.split("."):
        if isinstance(value, (list, tuple)):
            if not part.isdigit():
                part = position(value, part, f"--cfg-options {key}: {'.'.join(parts)}")
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if hasattr(value, "get") else None
        parts.append(part)
    return ".".join(parts)


def position(items: Sequence, name: str, where: str) -> str:
    """The number of the item whose type, without its scope, has this name."""
    types = [item.get("type") if hasattr(item, "get") else item for item in items]
    names = [str(kind).split(".")[-1] for kind in types]
    found = [str(i) for i, other in enumerate(names) if other == name]
    if not found:
        raise ValueError(f"{where}: no item is of type {name!r}; there are {listing(names, 20)}")
    if len(found) > 1:
        raise ValueError(f"{where}: items {', '.join(found)} are of type {name!r}; give a number")
    return found[0]


def warn_of_fixed_schedule(cfg: Config) -> None:
    """Warn if the learning rate keeps the schedule of another number of iterations."""
    schedules = cfg.get("param_scheduler") or []
    schedules = [schedules] if isinstance(schedules, dict) else schedules
    counting = [schedule for schedule in schedules if not schedule.get("by_epoch", True)]
    if not counting or any(schedule.get("end") is None for schedule in counting):
        return  # mmengine passes max_iters to a schedule without an end
    last = max(counting, key=lambda schedule: schedule.end)
    wanted = (cfg.get("train_cfg") or {}).get("max_iters")
    if wanted is not None and last.end not in (wanted, wanted + 1):
        warnings.warn(
            f"train_cfg.max_iters is {wanted}, but the schedule of the learning rate ends at "
            f"{last.end}: set param_scheduler.{last.type}.end={wanted}",
            stacklevel=3,
        )


def without_score_maps(cfg: Config) -> None:
    """Our segmentor need not write its scores, unless the config says otherwise."""
    if cfg.model.type == "mmmaskformer.MaskFormer":
        cfg.model.setdefault("test_cfg", {})
        cfg.model.test_cfg.setdefault("labels_only", True)


def runner_class(cfg: Config) -> type:
    """What `runner_type` names, mmengine's Runner by default.

    Raises:
        ValueError: no such runner; a setting that it would not read.
    """
    name = cfg.get("runner_type", "Runner")
    found = RUNNERS.get(name)
    if found is None:
        known = ", ".join(sorted(RUNNERS.module_dict))
        raise ValueError(f"runner_type={name!r}: no such runner is registered; known: {known}")
    flexible = issubclass(found, FlexibleRunner)
    for key in RUNNER_ONLY if flexible else ("strategy",):
        if cfg.get(key):
            hint = "set it in strategy, if it has it" if flexible else "FlexibleRunner does"
            raise ValueError(f"{key}: runner_type={name!r} does not read it; {hint}")
    return found


def build_runner(cfg: Config) -> Runner | FlexibleRunner:
    """The runner of the config; without a GPU distributed runs use gloo, SyncBN becomes BN, and
    mixed precision ours."""
    if cfg.get("randomness", {}).get("deterministic"):
        # Without it torch may refuse products of matrices on a GPU; cuBLAS reads it once.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    flexible = issubclass(runner_class(cfg), FlexibleRunner)
    prepare_cpu_distributed(cfg, flexible)
    if not torch.cuda.is_available():
        replace_sync_batch_norm()
        cfg.pop("sync_bn", None)
        if wrapper_class(cfg.get("optim_wrapper")) is AmpOptimWrapper:
            use_cpu_amp(cfg.optim_wrapper)
    try:
        os.makedirs(cfg.work_dir, exist_ok=True)
    except OSError as error:
        raise ValueError(f"work_dir {cfg.work_dir} can not be made: {one_line(error)}") from error
    with config_errors(cfg):
        runner = RUNNERS.build(cfg)
        if flexible:  # Before the data, as Runner does: one seed, one run.
            runner.model = runner.strategy.build_model(runner.model)
    if cfg.get("train_cfg"):
        runner.register_hook(CheckWeights(partly=True))
    return runner


class CheckWeights(Hook):
    """Refuses a checkpoint of another model, or with weights that are not finite; mmengine logs a
    warning and goes on.

    Args:
        partly: whether what is not resumed need not fit as a whole: to start a training from.
    """

    def __init__(self, partly: bool = False) -> None:
        self.partly = partly

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise ValueError if a weight is NaN or infinite; if one is missing, of another shape,
        or left over in the backbone or the head; where some may be, if none fits."""
        model = runner.model
        while hasattr(model, "module"):  # test-time augmentation, distributed
            model = model.module
        weights = checked_weights(
            checkpoint, model.state_dict(), runner._load_from or "to resume from"
        )
        if any(isinstance(part, FullyShardedDataParallel) for part in runner.model.modules()):
            return  # a process holds parts, whose shapes are not those of the weights
        wanted, found = shapes_of(model.state_dict()), shapes_of(weights)
        if self.partly and not runner._resume:
            report_fit(found, wanted, runner._load_from)
            return
        check_fit(found, wanted, runner._load_from, runner.cfg.filename)
        loader = getattr(getattr(runner, "_test_loop", None), "dataloader", None)
        meta = getattr(getattr(loader, "dataset", None), "metainfo", None) or {}
        for line in contradictions(runner._load_from, checkpoint, model, meta.get("classes")):
            runner.logger.warning(line)


def check_datasets(cfg: Config, splits: list[str]) -> None:
    """What `tools/check_dataset.py` can say about some splits without reading their images.

    Warnings and errors are printed to stderr, one line each. Of several processes the first one
    looks.

    Raises:
        ValueError: the last of the errors.
    """
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
        return
    found = quick_check(cfg, [split for split in splits if cfg.get(f"{split}_dataloader")])
    lines = [f"warning: {line}" for line in found.warnings]
    lines += [f"error: {line}" for line in found.errors[:-1]]
    for line in lines:
        print(line, file=sys.stderr)
    if found.errors:
        raise ValueError(f"{found.errors[-1]} (--no-check goes on all the same)")
