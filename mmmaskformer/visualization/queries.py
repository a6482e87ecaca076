"""Which pixels each query answers for (the paper's Figure I)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .panels import name_columns

GROUND = 225
"""Grey level of what no query answers for, where the image is hidden."""
COLORS = (colormaps["tab20"]([*range(0, 20, 2), *range(1, 20, 2)])[:, :3] * 255).astype(np.uint8)
"""Ten strong colours, then their light ones."""


@dataclass(frozen=True)
class QueryMasks:
    """What some queries say about one image.

    Attributes:
        queries: (K,) their numbers.
        names: (K,) their classes.
        scores: (K,) class probabilities.
        masks: (K, H, W) bool, mask probability above one half.
    """

    queries: Sequence[int]
    names: Sequence[str]
    scores: Sequence[float]
    masks: np.ndarray


def query_colors(answers: Sequence[QueryMasks]) -> dict[int, np.ndarray]:
    """The colour (3,) uint8 of every query of a model, the same in all images."""
    queries = dict.fromkeys(query for answer in answers for query in answer.queries)
    return {query: COLORS[k % len(COLORS)] for k, query in enumerate(queries)}


def paint_queries(
    image: np.ndarray, answer: QueryMasks, colors: Mapping[int, np.ndarray], alpha: float = 0.6
) -> np.ndarray:
    """The masks over a grey version of the image (H, W, 3) uint8; where masks overlap, the first
    one is seen."""
    grey = np.repeat(image.mean(2, keepdims=True), 3, 2)
    for query, mask in reversed(list(zip(answer.queries, answer.masks, strict=True))):
        grey[mask] = (1 - alpha) * grey[mask] + alpha * colors[query]
    return grey.astype(np.uint8)


def query_panels(
    path: str | Path,
    images: Sequence[np.ndarray],
    models: Mapping[str, Sequence[QueryMasks]],
    *,
    hide_images: bool = False,
) -> None:
    """Write a PNG: one row per image, the image first, then one column per model.

    Args:
        images: (H, W, 3) uint8 RGB.
        models: title -> one `QueryMasks` per image.
        hide_images: whether the masks are painted on plain grey, and no image is shown.
    """
    shown = {} if hide_images else {"image": images}
    colors = [query_colors(answers) for answers in models.values()]
    count = len(shown) + len(models)
    figure = Figure(figsize=(4 * count, 3.6 * len(images)))
    axes = figure.subplots(len(images), count, squeeze=False)
    for row, image in enumerate(images):
        ground = np.full_like(image, GROUND) if hide_images else image
        if shown:
            axes[row, 0].imshow(image)
        columns = zip(axes[row, len(shown) :], models.values(), colors, strict=True)
        for axis, answers, of_query in columns:
            axis.imshow(paint_queries(ground, answers[row], of_query))
            draw_legend(axis, answers[row], of_query)
    name_columns(axes, (*shown, *models))
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def draw_legend(
    axis: Axes, answer: QueryMasks, colors: Mapping[int, np.ndarray], most: int = 8
) -> None:
    """Number, class and score of the queries, best `most` first."""
    patches = [
        Patch(color=colors[query] / 255, label=f"query {query}: {name} {score:.2f}")
        for query, name, score in zip(answer.queries, answer.names, answer.scores, strict=True)
    ]
    if not patches:
        box = dict(facecolor="white", edgecolor="none")  # readable on every ground
        axis.text(0.5, 0.5, "no query", transform=axis.transAxes, ha="center", bbox=box)
        return
    axis.legend(handles=patches[:most], loc="lower left", fontsize=7, framealpha=0.7)
