"""Images, ground truth and predictions side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch


def paint(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Label map (H, W) to colours (H, W, 3) uint8; labels without a colour are black."""
    colors = np.zeros((int(labels.max(initial=0)) + 1, 3), np.uint8)
    count = min(len(palette), len(colors))
    colors[:count] = np.asarray(palette, np.uint8)[:count]
    return colors[labels]


def name_columns(axes: np.ndarray, titles: Iterable[str]) -> None:
    """Write "image" and the titles above the columns, in lines that fit, and hide the axes."""
    for axis, title in zip(axes[0], ("image", *titles), strict=True):
        axis.set_title(textwrap.fill(title, 24), fontsize=11)
    for axis in axes.flat:
        axis.set_axis_off()


def label_panels(
    path: str | Path,
    images: Sequence[np.ndarray],
    label_maps: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> None:
    """Write a PNG: one row per image, the image first, then one column of label maps per title.

    Args:
        images: (H, W, 3) uint8 RGB.
        label_maps: title -> one (H, W) label map per image.
    """
    rows, columns = len(images), 1 + len(label_maps)
    figure = Figure(figsize=(2.4 * columns, 2.4 * rows + 0.7))
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, image in enumerate(images):
        axes[row, 0].imshow(image)
        for column, maps in enumerate(label_maps.values(), 1):
            axes[row, column].imshow(paint(maps[row], palette), interpolation="nearest")
    name_columns(axes, label_maps)
    patches = [
        Patch(color=np.array(c) / 255, label=n) for n, c in zip(classes, palette, strict=True)
    ]
    figure.legend(
        handles=patches, loc="lower center", ncols=min(len(classes), 6), fontsize=9, frameon=False
    )
    figure.tight_layout(rect=(0, 0.7 / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=90, bbox_inches="tight")
