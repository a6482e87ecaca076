"""What a checkpoint says of the data that it was trained on, against what it is used for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..utils.text import listing


def contradictions(
    path: str, checkpoint: Mapping, model: torch.nn.Module, classes: Iterable[str] | None
) -> list[str]:
    """Lines about a checkpoint that fits a model by its shapes, but not by its classes.

    Args:
        path: what the lines call the checkpoint.
        classes: names of the classes of the data that it is used for, where they are known.
    """
    meta: Any = checkpoint.get("meta")
    trained: Any = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    if not isinstance(trained, Mapping) or not trained.get("classes"):
        return []
    lines = []
    asked = getattr(model, "test_cfg", None) or {}
    if "isthing" not in trained and (asked.get("panoptic_on") or asked.get("instance_on")):
        lines.append(
            f"checkpoint {path} was trained on data without things (its dataset_meta has no "
            "isthing): all objects of a class are one segment for it, so panoptic and instance "
            "results say nothing"
        )
    names = zip(trained["classes"], classes or (), strict=False)
    differ = [f"{old} for {new}" for old, new in names if old != new]
    if differ:
        lines.append(
            f"checkpoint {path} was trained on other classes than those of the data here: "
            f"{listing(differ, most=4)}"
        )
    return lines
