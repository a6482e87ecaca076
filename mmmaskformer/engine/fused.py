"""Optimizers that update all weights in a few operations, where they lie on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import OPTIMIZERS
from torch import nn, optim

FUSED = (optim.Adam, optim.AdamW, optim.SGD)
"""Optimizers that every torch of `engine.dependencies` can fuse on a GPU."""
WAYS = ("foreach", "fused")
"""Settings of torch's optimizers that say how to compute, and not what."""


def with_fused(cfg: dict, model: nn.Module) -> dict:
    """The config of an optimizer for the model, with `fused=True` if all weights that learn lie on
    a GPU, the optimizer can do that, and the config does not say how to compute."""
    kind = OPTIMIZERS.get(cfg["type"]) if isinstance(cfg["type"], str) else cfg["type"]
    if kind not in FUSED:
        return cfg
    if {*WAYS, "differentiable"} & set(cfg):
        return cfg
    learning = [p for p in model.parameters() if p.requires_grad]
    if not all(p.is_cuda and p.is_floating_point() for p in learning):
        return cfg
    return {**cfg, "fused": True}


def compute_as(optimizer: Any, saved: Any) -> None:
    """Let the saved state of an optimizer say how this one computes: torch would go on in the way
    of the checkpoint, which may be that of another machine."""
    groups = saved.get("param_groups") if isinstance(saved, Mapping) else None
    if not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
        return
    for group, own in zip(groups, optimizer.param_groups, strict=True):
        if isinstance(group, dict):
            group.update({way: own[way] for way in WAYS if way in own})
