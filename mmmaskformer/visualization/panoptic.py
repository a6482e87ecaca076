"""Panoptic pictures: segments of one class in shades of its colour, borders, names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

BORDER = (255, 255, 255)


def shade(color: Sequence[int], number: int) -> np.ndarray:
    """The colour of the `number`-th segment of a class, (3,) uint8; the first has its own."""
    if number == 0:
        return np.array(color, np.uint8)
    hue, saturation, value = cv2.cvtColor(np.uint8([[color]]), cv2.COLOR_RGB2HSV)[0, 0].astype(int)
    # Steps that do not repeat soon, around the class's own colour.
    hue = (hue + (7, -7, 12, -12, 3)[number % 5]) % 180
    value = np.clip(value + (45, -50, 25, -80, -25, 60)[number % 6], 70, 255)
    saturation = np.clip(saturation + (-60, 30, -30, 0)[number % 4], 40, 255)
    return cv2.cvtColor(np.uint8([[[hue, saturation, value]]]), cv2.COLOR_HSV2RGB)[0, 0]


def paint_panoptic(
    ids: np.ndarray,
    segments_info: Sequence[dict],
    palette: Sequence[Sequence[int]],
    isthing: Sequence[bool],
    image: np.ndarray | None = None,
    alpha: float = 0.6,
) -> np.ndarray:
    """Colours of the segments, with a white border around things; void is black.

    Args:
        ids: (H, W) integers.
        segments_info: dicts with `id` and `category_id`, the class index.
        image: (H, W, 3) uint8 RGB to paint over; `alpha` is the share of the colours.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    known, index = np.unique(ids, return_inverse=True)
    index = index.reshape(ids.shape)
    colors, things, seen = np.zeros((len(known), 3), np.uint8), np.zeros(len(known), bool), {}
    classes = {segment["id"]: segment["category_id"] for segment in segments_info}
    for row, segment_id in enumerate(known.tolist()):
        if segment_id in classes:
            label = classes[segment_id]
            colors[row] = shade(palette[label], seen.get(label, 0))
            seen[label] = seen.get(label, 0) + 1
            things[row] = isthing[label]
    painted = colors[index]
    if image is not None:
        painted = cv2.addWeighted(image, 1 - alpha, painted, alpha, 0)
    painted[thing_borders(index, things)] = BORDER
    return painted


def thing_borders(index: np.ndarray, things: np.ndarray) -> np.ndarray:
    """Pixels (H, W) of things whose right or lower neighbour belongs to another segment, and
    the other way round."""
    border = np.zeros(index.shape, bool)
    for axis in (0, 1):
        first, second = (np.delete(index, -1, axis), np.delete(index, 0, axis))
        change = (first != second) & (things[first] | things[second])
        padding = [(0, 0), (0, 0)]
        padding[axis] = (0, 1)
        border |= np.pad(change, padding)
    return border


def draw_names(
    painted: np.ndarray, ids: np.ndarray, segments_info: Sequence[dict], classes: Sequence[str]
) -> np.ndarray:
    """Write each segment's name (and score, if it has one) where the segment is widest.

    Segments that are too small for a name are left without.
    """
    painted = painted.copy()
    scale = max(0.35, min(ids.shape) / 1000)
    for segment in segments_info:
        mask = np.pad(ids == segment["id"], 1).astype(np.uint8)
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(distance.argmax(), distance.shape)
        score = f" {segment['score']:.2f}" if segment.get("score") is not None else ""
        text = classes[segment["category_id"]] + score
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        if distance[y, x] < height:
            continue
        x = int(np.clip(x - width // 2, 0, max(0, ids.shape[1] - width)))
        place = (x, int(min(y + height // 2, ids.shape[0] - 1)))
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(
                painted, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA
            )
    return painted


def panoptic_overlay(
    image: np.ndarray, ids: np.ndarray, segments_info: Sequence[dict], metainfo: dict
) -> np.ndarray:
    """Segments and their names over an image (H, W, 3) uint8 RGB.

    Args:
        metainfo: the dataset's, with `classes`, `palette` and `isthing`.
    """
    painted = paint_panoptic(
        ids, segments_info, metainfo["palette"], metainfo["isthing"], image=image
    )
    return draw_names(painted, ids, segments_info, metainfo["classes"])
