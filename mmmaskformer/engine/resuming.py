"""The checkpoints in a work folder: which one a run goes on from, and which are another run's."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict

from ..checkpoints.reading import load_checkpoint_file
from ..utils.text import listing


def use_our_parts(cfg: Config) -> None:
    """Let a training config name our loop and our checkpoint hook where it names mmengine's."""
    hooks, loop = cfg.get("default_hooks") or {}, cfg.get("train_cfg") or {}
    if "checkpoint" not in hooks:  # mmengine adds it
        cfg.merge_from_dict({"default_hooks": {"checkpoint": dict(type="CheckpointHook")}})
    elif hooks["checkpoint"] is None:  # nobody wants checkpoints
        return
    if loop and loop.get("type") is None and loop.get("by_epoch") is False:
        loop["type"] = "IterBasedTrainLoop"
        loop.pop("by_epoch")
    for section, name in (
        (loop, "IterBasedTrainLoop"),
        (cfg.default_hooks["checkpoint"], "CheckpointHook"),
    ):
        kind = section.get("type")
        if getattr(kind, "__module__", "").startswith("mmengine."):
            kind = kind.__name__
        if kind in (name, f"mmengine.{name}"):
            section["type"] = f"mmmaskformer.{name}"


def on_main_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in one process; all processes have its result, or raise its error."""
    outcome: list[Any] = [None, None]
    if dist.is_main_process():
        try:
            outcome[0] = function(*args)
        except (OSError, RuntimeError, ValueError) as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    result, error = outcome
    if error is not None:
        raise error
    return result


def numbered(folder: Path, template: str) -> list[tuple[int, Path]]:
    """Checkpoints of a folder, best ones among them, with their iterations or epochs, in order.

    Args:
        template: mmengine's `filename_tmpl`, for instance `iter_{}.pth`.
    """
    before, after = (re.escape(part) for part in template.split("{}"))
    name = re.compile(rf"(?:best_.+_)?{before}(\d+){after}")
    if not folder.is_dir():
        return []
    matches = ((name.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def newest_whole(
    folder: Path, template: str, wanted: tuple[str, ...], warn: Callable[[str], None]
) -> Path | None:
    """The checkpoint of the highest number that can be resumed from; None if there are none.

    The file `last_checkpoint` is not asked: it may be missing, empty, or of another folder.

    Args:
        warn: is told which newer checkpoints are passed over, and why.

    Raises:
        ValueError: there are checkpoints, but none can be resumed from.
    """
    found = [path for _, path in numbered(folder, template) if not path.name.startswith("best_")]
    for path in reversed(found):
        problem = why_not_resumable(path, wanted)
        if problem is None:
            return path
        warn(f"{path} is passed over: {problem}")
    if found:
        raise ValueError(
            f"{folder} has {listing([path.name for path in found])}, but none of them can be "
            "resumed from (the log says why); start over without --resume, which keeps them"
        )
    return None


def why_not_resumable(path: Path, wanted: tuple[str, ...]) -> str | None:
    """What is wrong with a checkpoint, which is read as a whole; None if nothing is."""
    if path.is_dir():
        return None  # DeepSpeed's, which nobody else can read
    try:
        checkpoint = load_checkpoint_file(str(path), map_location="cpu")
    except (OSError, RuntimeError, ValueError) as error:
        return str(error)
    return what_lacks(checkpoint, wanted)


def what_lacks(checkpoint: Any, wanted: tuple[str, ...]) -> str | None:
    """What a checkpoint would need to be resumed from; None if it has everything."""
    if not isinstance(checkpoint, Mapping):
        return f"it holds a {type(checkpoint).__name__}, not a dict"
    missing = [
        name for name in ("state_dict", "meta", "message_hub", *wanted) if name not in checkpoint
    ]
    if not missing:
        meta = checkpoint["meta"]
        counts = [
            meta.get(name) if isinstance(meta, Mapping) else None for name in ("epoch", "iter")
        ]
        if all(type(count) is int and count >= 0 for count in counts):
            return None
        missing = ["meta.epoch or meta.iter"]
    return f"it has no {', '.join(missing)}, as weights alone have none"


OPTIMIZER = "mmmaskformer_optimizer"
"""Where the message hub, and so a checkpoint, keeps the names of the optimizers' classes."""


def optimizers_of(runner) -> dict[str, Any]:
    """The optimizers of a runner by name; the only one has the name ""."""
    wrapper = getattr(runner, "optim_wrapper", None)
    wrappers = dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {"": wrapper}
    return {k: v.optimizer for k, v in wrappers.items() if isinstance(v, OptimWrapper)}


def names_of_optimizers(runner) -> dict[str, str]:
    return {name: type(found).__name__ for name, found in optimizers_of(runner).items()}


def other_optimizer(checkpoint: Mapping, runner) -> str | None:
    """Why a checkpoint's optimizer is not the runner's; None if it is, or nobody can know.

    torch would find some of that out in the first step, with a KeyError, and the rest never.
    """
    named = checkpoint["message_hub"].get("runtime_info", {}).get(OPTIMIZER, {})
    for name, optimizer in optimizers_of(runner).items():
        kind, saved = type(optimizer).__name__, checkpoint.get("optimizer") or {}
        groups = (saved.get(name, {}) if name else saved).get("param_groups")
        if named.get(name, kind) != kind:
            return f"it is of the optimizer {named[name]}, the config has {kind}"
        if not isinstance(groups, list) or not all(is_group(group) for group in groups):
            continue  # a sharded one's, for instance, whose parameters have names
        found = [len(group.get("params", ())) for group in groups]
        wanted = [len(group["params"]) for group in optimizer.param_groups]
        if found != wanted:
            return (
                f"its optimizer has {sum(found)} parameters in {len(found)} groups, the config's "
                f"{sum(wanted)} in {len(wanted)}"
            )
        numbers = {
            k
            for k, v in getattr(optimizer, "defaults", {}).items()
            if type(v) in (int, float, tuple)
        }
        lacking = sorted(numbers.difference(*groups))
        if lacking:
            return f"its optimizer is no {kind}, as it has no {', '.join(lacking)}"
    return None


def is_group(group: Any) -> bool:
    """Whether this is what torch's optimizers save of a group of parameters."""
    params = group.get("params") if isinstance(group, Mapping) else None
    return isinstance(params, (list, tuple)) and all(type(number) is int for number in params)


def set_aside(folder: Path, template: str, start: int, name: str) -> list[str]:
    """Move checkpoints that a run would overwrite, or mistake for its own, to a folder of theirs.

    Args:
        start: the iteration or epoch that the run starts from; files of higher numbers are moved,
            and all of them if it is 0.
        name: of the folder, which is made in `folder`.
    """
    paths = [path for number, path in numbered(folder, template) if number > start or not start]
    if paths and not start and (folder / "last_checkpoint").is_file():
        paths.append(folder / "last_checkpoint")
    for path in paths:
        (folder / name).mkdir(exist_ok=True)
        os.replace(path, folder / name / path.name)
    return [path.name for path in paths]


def remove_replaced(folder: Path, template: str, names: Any, resumed: str) -> None:
    """Remove checkpoints that the one named `resumed` took the place of.

    Args:
        names: what the checkpoint says; only names of checkpoints count.
    """
    known = {path.name: path for _, path in numbered(folder, template)}
    for name in names if isinstance(names, (list, tuple)) else ():
        path = known.get(name) if name != resumed else None
        if path is not None:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove_half_written(folder: Path, template: str) -> None:
    """Remove what killed processes left of their checkpoints; nobody else may be writing."""
    before, after = (re.escape(part) for part in template.split("{}"))
    left = re.compile(rf"\.((best_.+_)?{before}\d+{after}|last_checkpoint)\.\d+")
    for path in folder.iterdir():
        if left.fullmatch(path.name):
            path.unlink()
