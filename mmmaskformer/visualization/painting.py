"""Colours of segments over a photograph, and smooth lines around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import find_objects

BORDER = 255
"""Borders are white."""
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last two exclusive."""


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


def segment_colors(
    segments_info: Sequence[Mapping[str, Any]], palette: Sequence[Sequence[int]]
) -> dict[int, np.ndarray]:
    """Id -> colour (3,) uint8: segments of one class have shades of its colour."""
    colors, seen = {}, dict[int, int]()
    for segment in segments_info:
        label = segment["category_id"]
        colors[segment["id"]] = shade(palette[label], seen.get(label, 0))
        seen[label] = seen.get(label, 0) + 1
    return colors


def renumbered(ids: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The ids of a map (H, W), sorted, and the map of their places in that list, (H, W) int32."""
    if ids.size and ids.min() >= 0 and ids.max() < 1 << 16:
        there = np.bincount(ids.ravel()) > 0  # much faster than to sort the pixels
        return np.flatnonzero(there).tolist(), (np.cumsum(there, dtype=np.int32) - 1)[ids]
    known, index = np.unique(ids, return_inverse=True)
    return known.tolist(), index.reshape(ids.shape).astype(np.int32)


def segment_boxes(ids: np.ndarray) -> dict[int, Box]:
    """The box of every id of a map (H, W)."""
    known, index = renumbered(ids)
    return {
        segment: (columns.start, rows.start, columns.stop, rows.stop)
        for segment, (rows, columns) in zip(known, find_objects(index + 1), strict=True)
    }


def paint_segments(
    image: np.ndarray, index: np.ndarray, colors: Mapping[int, Sequence[int]], opacity: float
) -> np.ndarray:
    """Colours over an image (H, W, 3) uint8 RGB; pixels without a colour stay as they are.

    Args:
        index: (H, W) numbers from 0 without gaps.
        colors: number -> RGB.
    """
    count = int(index.max(initial=-1)) + 1
    table, bare = np.zeros((count, 3), np.uint8), np.ones(count, bool)
    for number, color in colors.items():
        table[number], bare[number] = color, False
    painted = cv2.addWeighted(image, 1 - opacity, table[index], opacity, 0)
    if bare.any():
        np.copyto(painted, image, where=bare[index][..., None])
    return painted


def draw_borders(picture: np.ndarray, index: np.ndarray, chosen: Iterable[int]) -> None:
    """Draw a smooth white line around chosen segments into a picture (H, W, 3) uint8 RGB.

    Args:
        index: (H, W) numbers from 0 without gaps.
    """
    height, width = index.shape
    thickness = max(1.6, min(height, width) / 300)
    sigma = 0.8 * thickness
    reach = int(np.ceil(3 * sigma)) + 1
    # The blurred mask says how far a pixel is from the border: by the slope that it has there.
    distance = np.abs(np.arange(256) / 255 - 0.5) * sigma * np.sqrt(2 * np.pi)
    cover = np.rint(255 * np.clip(thickness / 2 + 0.5 - distance, 0, 1)).astype(np.uint8)
    line = np.zeros(index.shape, np.uint8)
    found = find_objects(index + 1)
    for number in chosen:
        rows, columns = found[number]
        area = (
            slice(max(0, rows.start - reach), rows.stop + reach),
            slice(max(0, columns.start - reach), columns.stop + reach),
        )
        mask = (index[area] == number).astype(np.uint8) * 255
        soft = cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        np.maximum(line[area], cv2.LUT(soft, cover), out=line[area])
    drawn = np.nonzero(line)
    share = line[drawn][:, None].astype(np.float32) / 255
    there = picture[drawn].astype(np.float32)
    picture[drawn] = (there + (BORDER - there) * share).round().astype(np.uint8)


def resized(
    image: np.ndarray, ids: np.ndarray, least: int = 480, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8 and its map (H, W) at a size at which names can be read.

    Small ones become a whole number of times larger, so that the longer side has `least` pixels;
    then every pixel has the id whose mask, resized smoothly, is largest there. Those with more
    than `most` become smaller. Others are given back as they are.
    """
    longer = max(ids.shape)
    if most is not None and longer > most:
        size = tuple(max(1, round(edge * most / longer)) for edge in ids.shape[::-1])
        smaller = cv2.resize(ids.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA), smaller
    factor = -(-least // longer)
    if factor == 1:
        return image, ids
    size = (ids.shape[1] * factor, ids.shape[0] * factor)
    best, larger = np.full(size[::-1], -np.inf, np.float32), np.zeros(size[::-1], ids.dtype)
    for segment in np.unique(ids):
        share = cv2.resize(
            (ids == segment).astype(np.float32), size, interpolation=cv2.INTER_LINEAR
        )
        ahead = share > best
        best[ahead], larger[ahead] = share[ahead], segment
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), larger


def with_palette(metainfo: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with a colour for every class; where there is none, colours that are always the
    same."""
    count = len(metainfo["classes"])
    if len(metainfo.get("palette") or ()) == count:
        return dict(metainfo)
    return {**metainfo, "palette": np.random.RandomState(0).randint(0, 256, (count, 3)).tolist()}
