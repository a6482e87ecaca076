"""Images, ground truth and predictions side by side."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw

from .legend import GROUND, INK
from .text import font


def paint(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Label map (H, W) to colours (H, W, 3) uint8; labels without a colour are black."""
    colors = np.zeros((int(labels.max(initial=0)) + 1, 3), np.uint8)
    count = min(len(palette), len(colors))
    colors[:count] = np.asarray(palette, np.uint8)[:count]
    return colors[labels]


def name_columns(axes: np.ndarray, titles: Iterable[str]) -> None:
    """Write the titles above the columns, in lines that fit, and hide the axes."""
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(textwrap.fill(title, 32), fontsize=11)
    for axis in axes.flat:
        axis.set_axis_off()


def label_panels(
    path: str | Path,
    columns: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    rows: Sequence[str] = (),
) -> None:
    """Write a PNG of images and label maps, one row per image.

    Args:
        columns: title -> one picture per row, an image (H, W, 3) uint8 RGB or labels (H, W).
        rows: what stands to the left of each row.
    """
    pictures = list(zip(*columns.values(), strict=True))
    height, width = pictures[0][0].shape[:2]
    legend = 0.3 + 0.2 * math.ceil(len(classes) / 6)
    figure = Figure(figsize=(3 * len(columns), 3 * height / width * len(pictures) + legend + 0.4))
    axes = figure.subplots(len(pictures), len(columns), squeeze=False)
    for line, shown in zip(axes, pictures, strict=True):
        for axis, picture in zip(line, shown, strict=True):
            colors = picture if picture.ndim == 3 else paint(picture, palette)
            axis.imshow(colors, interpolation="nearest")
    name_columns(axes, columns)
    for axis, title in zip(axes[:, 0], rows, strict=False):
        place = dict(transform=axis.transAxes, rotation=90, ha="right", va="center")
        axis.text(-0.03, 0.5, title, fontsize=9, **place)
    patches = [
        Patch(color=np.array(c) / 255, label=n) for n, c in zip(classes, palette, strict=True)
    ]
    figure.legend(
        handles=patches, loc="lower center", ncols=min(len(classes), 6), fontsize=9, frameon=False
    )
    figure.tight_layout(rect=(0, legend / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=110, bbox_inches="tight")


def overlay_panels(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], gap: int = 8
) -> np.ndarray:
    """Pictures (H, W, 3) uint8 RGB in rows and columns, the titles above the columns.

    Returns:
        (height, width, 3) uint8 RGB, on white.
    """
    widths = [max(row[column].shape[1] for row in rows) for column in range(len(titles))]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    size = max(12, max(widths) // 28)
    top = 2 * size
    shape = (top + sum(heights) + gap * len(rows), sum(widths) + gap * (len(widths) + 1), 3)
    canvas = np.full(shape, GROUND, np.uint8)
    lefts = [gap + sum(widths[:column]) + gap * column for column in range(len(widths))]
    y = top
    for row, height in zip(rows, heights, strict=True):
        for x, picture in zip(lefts, row, strict=True):
            canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        y += height + gap
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for x, width, title in zip(lefts, widths, titles, strict=True):
        draw.text((x + width // 2, top // 2), title, INK, font(size), anchor="mm")
    return np.asarray(image)
