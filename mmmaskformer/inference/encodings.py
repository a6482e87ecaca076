"""Segments in the forms that other programs take: json, COCO's annotations, supervision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

FINE = 3
"""Masks are so many times larger where their outlines are followed: then every edge of a pixel is
nearer to the pixels that OpenCV names than half a pixel of the mask."""


@dataclass(frozen=True)
class Region:
    """A segment and its mask.

    Attributes:
        segment: `category_id` (the class index), `class`, `area`, `box` and, where they are known,
            `id`, `isthing` and `score`, as in `prediction.Panoptic`.
        mask: gives the mask (H, W) bool.
    """

    segment: Mapping[str, Any]
    mask: Callable[[], np.ndarray]


def dataset_id(meta: Mapping[str, Any], label: int) -> Any:
    """The dataset's number of a class, where its classes have numbers, else the class index."""
    ids = meta.get("category_ids")
    return label if not ids or ids[label] is None else ids[label]


def to_json(
    regions: Sequence[Region], meta: Mapping[str, Any], size: tuple[int, int], masks: bool
) -> list[dict[str, Any]]:
    """The `segments` of a prediction's json, each an object of

    * `id`: the value in the panoptic png; for instances their rank from 1, for classes the label;
    * `label`: the class index, which is the value in the label png; `class`: its name;
    * `category_id`: the dataset's number of the class, the class index where it has none;
    * `isthing`: true or false, of panoptic segments; `score`: 0 to 1, not of classes;
    * `area`: pixels; `share`: of the image's pixels, 0 to 1;
    * `box`: [x0, y0, x1, y1] in pixels from the upper left corner, the last two exclusive;
    * `mask`: COCO's compressed run lengths, {"size": [H, W], "counts": text}, if asked for.
    """
    entries = []
    for number, region in enumerate(regions, 1):
        segment, label = region.segment, region.segment["category_id"]
        entry = {
            "id": segment.get("id", number),
            "label": label,
            "class": segment["class"],
            "category_id": dataset_id(meta, label),
            **{key: segment[key] for key in ("isthing", "score") if key in segment},
            "area": segment["area"],
            "share": segment["area"] / (size[0] * size[1]),
            "box": segment["box"],
        }
        entries.append({**entry, "mask": run_lengths(region.mask())} if masks else entry)
    return entries


def to_coco(
    regions: Sequence[Region], meta: Mapping[str, Any], segmentation: str, image_id: int | str
) -> list[dict[str, Any]]:
    """COCO's annotations, which are COCO's results, too.

    Each has `id`, `image_id`, `category_id` (see `dataset_id`), `segmentation`, `area` in pixels,
    `bbox` [x, y, width, height], `iscrowd` 0 and, where it is known, `score`.

    Args:
        segmentation: "rle" for compressed run lengths, or "polygons".

    Raises:
        ValueError: another segmentation.
    """
    encoders = {"rle": run_lengths, "polygons": polygons}
    if segmentation not in encoders:
        raise ValueError(f"segmentation must be 'rle' or 'polygons', got {segmentation!r}")
    annotations = []
    for number, region in enumerate(regions, 1):
        segment = region.segment
        x0, y0, x1, y1 = segment["box"]
        entry = {
            "id": number,
            "image_id": image_id,
            "category_id": dataset_id(meta, segment["category_id"]),
            "segmentation": encoders[segmentation](region.mask()),
            "area": segment["area"],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "iscrowd": 0,
        }
        annotations.append({**entry, **{k: segment[k] for k in ("score",) if k in segment}})
    return annotations


def to_supervision(regions: Sequence[Region]):
    """`supervision.Detections`, with `class_name` in its data.

    Raises:
        ModuleNotFoundError: supervision is not installed.
    """
    try:
        from supervision import Detections
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "to_supervision needs supervision. Run: pip install supervision"
        ) from error
    if not regions:
        return Detections.empty()
    segments = [region.segment for region in regions]
    scores = [segment.get("score") for segment in segments]
    return Detections(
        xyxy=np.array([segment["box"] for segment in segments], np.float32),
        mask=np.stack([region.mask() for region in regions]),
        confidence=None if None in scores else np.array(scores, np.float32),
        class_id=np.array([segment["category_id"] for segment in segments]),
        data={"class_name": np.array([segment["class"] for segment in segments])},
    )


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as pycocotools' compressed run lengths: `size` [H, W], `counts` as text,
    which json can hold."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(map(int, encoded["size"])), "counts": encoded["counts"].decode("ascii")}


def polygons(mask: np.ndarray) -> list[list[int]]:
    """A mask (H, W) bool as polygons [x0, y0, x1, y1, ...] along the edges of its pixels.

    Pixel (x, y) reaches from (x, y) to (x + 1, y + 1), as in COCO. One polygon is a connected part
    of the mask; a hole in it is joined to the outline by a line that is followed there and back.
    What pycocotools makes of the polygons is the mask again, to the pixel.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    fine = part.repeat(FINE, 0).repeat(FINE, 1)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_corners(contour, left, top) for contour in contours]
    outlines = {number: rings[number] for number in range(len(rings)) if tree[0][number][3] < 0}
    for number, ring in enumerate(rings):
        parent = tree[0][number][3]
        if parent >= 0:
            outlines[parent] = np.concatenate(
                [outlines[parent], rings[parent][:1], ring, ring[:1], rings[parent][:1]]
            )
    return [ring.ravel().tolist() for ring in outlines.values()]


def _corners(contour: np.ndarray, left: int, top: int) -> np.ndarray:
    """The corners (N, 2) of the pixels' edges on a contour of the fine mask."""
    points = np.rint((contour[:, 0] + 0.5) / FINE).astype(int) + (left, top)
    before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
    points = points[(points != before).any(1)]
    before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
    first, second = points - before, after - points
    straight = first[:, 0] * second[:, 1] == first[:, 1] * second[:, 0]
    forward = (first * second).sum(1) > 0
    return points[~(straight & forward)]
