"""Optimizers with one parameter group for each distinct setting, and resuming into them.

mmengine makes a group of every parameter, and a GPU then updates one tensor after the other
instead of many at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .fused import with_fused
from .resuming import is_group

PER_GROUP = ("base_values", "_last_value", "min_value")
"""What schedulers of mmengine keep for every group."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroups(DefaultOptimWrapperConstructor):
    """mmengine's `DefaultOptimWrapperConstructor`, whose groups of equal settings are one.

    Groups, and the parameters of a group, are in the order of the model. On a GPU the optimizer
    computes with `fused=True`, if it can and the config names neither `fused` nor `foreach`.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """See `DefaultOptimWrapperConstructor.__call__`."""
        self.optimizer_cfg = with_fused(self.optimizer_cfg, model)
        return super().__call__(model)

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = "", *args: Any, **kwargs: Any
    ) -> None:
        """See `DefaultOptimWrapperConstructor.add_params`, which calls this for every module."""
        super().add_params(params, module, prefix, *args, **kwargs)
        if not prefix:  # the whole model's
            usual = {"lr": self.base_lr, "weight_decay": self.base_wd}
            usual = {name: value for name, value in usual.items() if value is not None}
            params[:] = merged([{**usual, **group} for group in params])


def merged(groups: Sequence[dict]) -> list[dict]:
    """Groups of parameters, those of equal settings as one, in the order of the first of them."""
    found: list[dict] = []
    for group in groups:
        same = next((other for other in found if settings(other) == settings(group)), None)
        if same is None:
            found.append({"params": list(group["params"]), **settings(group)})
        else:
            same["params"].extend(group["params"])
    return found


def settings(group: Mapping) -> dict:
    """What a group of parameters says of them; mmengine has multiplied with its factors."""
    return {k: v for k, v in group.items() if k not in ("params", "lr_mult", "decay_mult")}


def merge_saved_groups(checkpoint: dict, model: nn.Module, optimizer: Any) -> None:
    """Turn a checkpoint with a group for every parameter into one with the optimizer's groups.

    It stays as it is if it has other groups or parameters, or if its parameters of one group of
    the optimizer's had different settings.

    Args:
        checkpoint: its `optimizer` and `param_schedulers` are replaced.
        optimizer: torch's, of the parameters of `model`.
    """
    # mmengine made the groups in this order.
    places = {id(p): n for n, p in enumerate(p for p in model.parameters() if p.requires_grad)}
    groups = [[places.get(id(p), -1) for p in g["params"]] for g in optimizer.param_groups]
    saved = checkpoint.get("optimizer")
    of_one = saved.get("param_groups") if isinstance(saved, Mapping) else None
    if (
        not isinstance(of_one, list)
        or not len(groups) < len(of_one) == len(places)
        or sorted(place for group in groups for place in group) != list(range(len(places)))
        or not all(is_group(group) and len(group["params"]) == 1 for group in of_one)
    ):
        return
    schedulers = checkpoint.get("param_schedulers") or []
    if not isinstance(schedulers, list):
        return
    per_group = [[settings(group) for group in of_one]]
    per_group += [values for state in schedulers for values in lists_of(state, of_one).values()]
    if any(v[place] != v[group[0]] for v in per_group for group in groups for place in group):
        return
    checkpoint["optimizer"] = merge_states(saved, groups)
    for state in schedulers:
        for name, values in lists_of(state, of_one).items():
            # The last one is mmengine's, for a learning rate without a parameter.
            base = values[len(of_one) :] if len(groups) > 1 else []
            state[name] = [values[group[0]] for group in groups] + base


def lists_of(scheduler: Mapping, groups: Sequence) -> dict[str, list]:
    """The lists of a scheduler's state that have a value for every group."""
    lists = {k: v for k, v in scheduler.items() if k in PER_GROUP and isinstance(v, list)}
    return {k: v for k, v in lists.items() if len(v) in (len(groups), len(groups) + 1)}


def merge_states(saved: Mapping, groups: Sequence[Sequence[int]]) -> dict:
    """An optimizer's saved state with other groups.

    Args:
        saved: has a group for every parameter.
        groups: the places in `saved` of the parameters of each new group.
    """
    of_one = saved["param_groups"]
    numbers = [of_one[place]["params"][0] for group in groups for place in group]
    state = {n: saved["state"][old] for n, old in enumerate(numbers) if old in saved["state"]}
    counted = iter(range(len(numbers)))
    new = [
        {**settings(of_one[group[0]]), "params": [next(counted) for _ in group]} for group in groups
    ]
    result = {**saved, "state": state, "param_groups": new}
    if len(groups) == 1:
        result.pop("base_param_settings", None)
    return result
