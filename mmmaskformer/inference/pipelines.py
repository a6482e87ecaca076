"""The pipeline of a config for images that are loaded already."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.dataset import Compose

from ..datasets.unlabelled import loads, without_steps

LARGEST = 100_000
"""Pixels of the long edge where the config limits nothing."""


def image_pipeline(cfg: Config, size: int | None = None, tta: bool = False) -> Compose:
    """What the config's test pipeline does with an image, without reading files.

    Args:
        size: of the short edge after resizing; None: the config's. The long edge is limited as in
            the config, in proportion.
        tta: the config's `tta_pipeline`, which has sizes of its own.

    Raises:
        ValueError: the config has no such pipeline, or one that a size does not fit.
    """
    if not tta:
        steps = without_steps(cfg.test_dataloader.dataset.pipeline, loads)
        return Compose(steps if size is None else resized(steps, size))
    if size is not None:
        raise ValueError(f"size={size} does not go with tta, whose sizes are the config's")
    missing = [key for key in ("tta_pipeline", "tta_model") if cfg.get(key) is None]
    if missing:
        raise ValueError(f"tta needs {' and '.join(missing)} in {cfg.filename}")
    return Compose(without_steps(cfg.tta_pipeline, loads))


def resized(steps: list[dict], size: int) -> list[dict]:
    """The steps with another short edge; one that resizes comes first if there is none."""
    if type(size) is not int or size < 1:
        raise ValueError(f"size must be a whole number of pixels of at least 1, got {size!r}")
    own = [step for step in steps if "Resize" in str(step["type"])]
    if not own:
        step = dict(type="Resize", scale=(LARGEST, size), keep_ratio=True, backend="pillow")
        return [step, *steps]
    if len(own) > 1 or not own[0].get("keep_ratio") or "scale" not in own[0]:
        raise ValueError(f"size={size}: the config's pipeline does not resize by the short edge")
    short, long = sorted(own[0]["scale"])
    own[0]["scale"] = (max(size, round(long * size / short)), size)
    return steps
