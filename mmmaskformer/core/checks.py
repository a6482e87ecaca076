"""What constructors take, checked where it is given and not where it does harm."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor


def has_hooks(module: torch.nn.Module) -> bool:
    """Whether somebody wants to see a module called."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks)


def check_number(
    name: str, value: Any, low: float = 0, high: float = math.inf, *, whole: bool = False
) -> Any:
    """The value itself; ValueError unless it is a finite number in [low, high]."""
    noun = "a whole number " if whole else "a number "
    right_kind = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if right_kind:
        if low <= value <= high and abs(value) < math.inf:
            return value
        noun = ""
    wanted = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
    raise ValueError(f"{name} must be {noun}{wanted}, got {value!r}")


def check_flag(name: str, value: Any) -> bool:
    """The value itself; ValueError unless it is True or False."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be True or False, got {value!r}")


def check_size(name: str, size: Any) -> None:
    """Raise ValueError unless this is H, W of an image with pixels."""
    if isinstance(size, str) or not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"{name} must be a height and a width, got {size!r}")
    for i, edge in enumerate(size):
        check_number(f"{name}[{i}]", edge, 1, whole=True)


def check_numbers(name: str, values: Any, low: float, *, least: int = 1) -> None:
    """Raise ValueError unless the values are a list of whole numbers of at least `low`.

    Args:
        least: the least length of the list.
    """
    listed = [] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if len(listed) < least:
        some = f"{least} or more " if least > 1 else ""
        raise ValueError(f"{name} must be a list of {some}whole numbers, got {values!r}")
    for index, value in enumerate(listed):
        check_number(f"{name}[{index}]", value, low, whole=True)


def read_flags(isthing: Sequence[bool]) -> tuple[bool, ...]:
    """Of each class whether it is a thing; ValueError for what is neither yes nor no."""
    if not isinstance(isthing, Iterable) or any(flag not in (0, 1) for flag in isthing):
        raise ValueError(f"isthing must be True or False for each class, got {isthing!r}")
    return tuple(map(bool, isthing))


def check_part(
    name: str, part: Callable, inputs: Sequence, wanted: Sequence[int], *, weighs: bool = True
) -> None:
    """Try a loss or a match cost of somebody else on a small problem: those of other packages
    take other arguments, and are reduced and weighted otherwise.

    Args:
        inputs: what it is called with.
        wanted: shape of the result.
        weighs: whether it may multiply by its weight itself.

    Raises:
        TypeError: it fails, or gives another result; names its class and what is wanted.
    """
    kind = f"{type(part).__module__}.{type(part).__name__}"
    contract = f"{name}: {kind} must give values of shape {tuple(wanted)} here"
    try:
        with torch.no_grad():
            found = part(*inputs)
    except Exception as error:
        raise TypeError(f"{contract}, but fails: {type(error).__name__}: {error}") from error
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != tuple(wanted):
        raise TypeError(f"{contract}, one for each mask, layer or batch, but gives {shape}")
    if not weighs:
        heavier: Any = copy.deepcopy(part)
        heavier.loss_weight = 2 * heavier.loss_weight + 1
        with torch.no_grad():
            if not torch.equal(found, heavier(*inputs)):
                raise TypeError(
                    f"{contract}, not yet multiplied by its loss_weight, but multiplies itself"
                )
