"""Names of segments on a picture: where each of them goes, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .painting import Box
from .text import box_size, draw_box

GRID = 512
"""Places are looked for on a map with at most so many rows and columns."""
MARGIN = 2
"""Pixels of that map between a box and the edge of the picture, where there is room."""


@dataclass(frozen=True)
class Label:
    """A name that belongs to a segment.

    Attributes:
        segment: the segment's id.
        texts: what to write, best first; the first one that fits in is taken.
        color: of the segment, and of the box behind the text.
        thing: things come before stuff, and small ones keep their names beside them.
    """

    segment: int
    texts: Sequence[str]
    color: Sequence[int]
    thing: bool = False


@dataclass(frozen=True)
class Placed:
    """A label with a place: `box` is x0, y0, x1, y1, the last two exclusive."""

    label: Label
    text: str
    box: Box


def place_labels(ids: np.ndarray, labels: Sequence[Label], size: int) -> list[Placed]:
    """Find places for labels; their boxes lie within the picture and do not overlap.

    A label touches its segment. It is left out where there is no room, and where the segment is
    less than a letter. Large segments choose first.

    Args:
        ids: (H, W) integers.
        size: pixels of the text.
    """
    step = -(-max(ids.shape) // GRID)
    grid = ids[step // 2 :: step, step // 2 :: step]
    known, areas = np.unique(grid, return_counts=True)
    area = dict(zip(known.tolist(), areas.tolist(), strict=True))
    least = 0.4 * (size / step) ** 2
    wanted = [label for label in labels if area.get(label.segment, 0) >= least]
    wanted.sort(key=lambda label: (not label.thing, -area[label.segment]))
    placed: list[Placed] = []
    taken: list[Box] = []
    for label in wanted:
        for text in label.texts:
            width, height = box_size(text, size)
            shape = (-(-height // step), -(-width // step))
            corner = find_corner(grid == label.segment, label.thing, shape, taken)
            if corner is None:
                continue
            y, x = corner
            taken.append((x, y, x + shape[1], y + shape[0]))
            x, y = (min(x * step, ids.shape[1] - width), min(y * step, ids.shape[0] - height))
            placed.append(Placed(label, text, (x, y, x + width, y + height)))
            break
    return placed


def find_corner(
    mask: np.ndarray, thing: bool, shape: tuple[int, int], taken: Sequence[Box]
) -> tuple[int, int] | None:
    """The upper left corner (y, x) of a box of the given height and width for a mask (h, w) bool.

    The box is centred where the mask is widest, as far as boxes that are taken and the edges of
    the picture allow; that of a thing that it would cover is above or below. None: no room.
    """
    height, width = shape
    rows, columns = mask.shape[0] - height + 1, mask.shape[1] - width + 1
    if rows <= 0 or columns <= 0:
        return None
    free = np.zeros((rows, columns), bool)
    edge = min(MARGIN, (rows - 1) // 2, (columns - 1) // 2)
    free[edge : rows - edge, edge : columns - edge] = True
    for x0, y0, x1, y1 in taken:
        free[max(0, y0 - height) : y1 + 1, max(0, x0 - width) : x1 + 1] = False  # a gap of one
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    if thing and inside.max() < 1.2 * height:
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x = int(np.clip((xs[0] + xs[-1] + 1 - width) // 2, 0, columns - 1))
        for y in (int(ys[0]) - height, int(ys[-1]) + 1):
            if 0 <= y < rows and free[y, x]:
                return y, x
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    depth = np.where(mask, inside, -outside)
    top, left = height // 2, width // 2
    depth = np.where(free, depth[top : top + rows, left : left + columns], -np.inf)
    y, x = map(int, np.unravel_index(depth.argmax(), depth.shape))
    if not free[y, x] or not mask[y : y + height, x : x + width].any():
        return None
    return y, x


def draw_labels(picture: np.ndarray, placed: Sequence[Placed], size: int) -> None:
    """Draw labels into a picture (H, W, 3) uint8 RGB."""
    for one in placed:
        draw_box(picture, one.box[:2], one.text, one.label.color, size)
