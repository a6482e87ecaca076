"""Pictures of segments and of classes: colours over the photograph, borders, names, a legend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .labels import Label, draw_labels, place_labels
from .legend import Entry, with_legend
from .painting import draw_borders, paint_segments, renumbered, segment_colors
from .text import font_size


@dataclass(frozen=True)
class Style:
    """What a picture shows.

    Attributes:
        opacity: of the colours, 0 to 1.
        labels: whether segments have their names; `scores`: and their scores.
        boundaries: whether there is a line around things or, where the picture shows classes
            only, around every class.
        legend: whether a legend of the classes stands below the picture.
        classes: class indices to show; None: all.
    """

    opacity: float = 0.6
    labels: bool = True
    scores: bool = True
    boundaries: bool = True
    legend: bool = False
    classes: Collection[int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity must be from 0 to 1, got {self.opacity!r}")


PLAIN = Style()


def panoptic_overlay(
    image: np.ndarray,
    ids: np.ndarray,
    segments_info: Sequence[Mapping[str, Any]],
    metainfo: Mapping[str, Any],
    style: Style = PLAIN,
) -> np.ndarray:
    """Segments and their names over an image (H, W, 3) uint8 RGB; void stays as it is.

    Args:
        ids: (H, W) integers.
        segments_info: dicts with `id`, `category_id`, the class index, and perhaps `score`.
        metainfo: the dataset's, with `classes`, `palette` and `isthing`.

    Returns:
        (H, W, 3) uint8 RGB; higher with a legend.
    """
    isthing = metainfo["isthing"]
    return _overlay(image, ids, segments_info, metainfo, style, lambda label: isthing[label])


def semantic_overlay(
    image: np.ndarray,
    labels: np.ndarray,
    metainfo: Mapping[str, Any],
    style: Style = PLAIN,
) -> np.ndarray:
    """Classes and their names over an image (H, W, 3) uint8 RGB; labels without a class, such as
    255, stay as they are.

    Args:
        labels: (H, W) class indices.
        metainfo: the dataset's, with `classes` and `palette`.

    Returns:
        (H, W, 3) uint8 RGB; higher with a legend.
    """
    segments = [{"id": label, "category_id": label} for label in range(len(metainfo["classes"]))]
    return _overlay(image, labels, segments, metainfo, style, lambda _: True)


def _overlay(
    image: np.ndarray,
    ids: np.ndarray,
    segments_info: Sequence[Mapping[str, Any]],
    metainfo: Mapping[str, Any],
    style: Style,
    lined: Callable[[int], bool],
) -> np.ndarray:
    colors = segment_colors(segments_info, metainfo["palette"])
    known, index = renumbered(ids)
    number = {segment: row for row, segment in enumerate(known)}
    shown = {
        number[segment["id"]]: segment
        for segment in segments_info
        if segment["id"] in number
        and (style.classes is None or segment["category_id"] in style.classes)
    }
    painted = {row: colors[segment["id"]] for row, segment in shown.items()}
    picture = paint_segments(image, index, painted, style.opacity)
    if style.boundaries:
        draw_borders(picture, index, [row for row, s in shown.items() if lined(s["category_id"])])
    if style.labels:
        size = font_size(*ids.shape)
        labels = [
            make_label(row, segment, painted[row], metainfo, style.scores)
            for row, segment in shown.items()
        ]
        draw_labels(picture, place_labels(index, labels, size), size)
    if not style.legend:
        return picture
    areas = np.bincount(index.ravel(), minlength=len(known)) / index.size
    return with_legend(picture, make_legend(shown, areas, metainfo))


def make_label(
    row: int,
    segment: Mapping[str, Any],
    color: Sequence[int],
    metainfo: Mapping[str, Any],
    scores: bool,
) -> Label:
    """The name of a segment and, if it has one, its score, where there is room for both."""
    name, score = metainfo["classes"][segment["category_id"]], segment.get("score")
    texts = [f"{name} {score:.2f}", name] if scores and score is not None else [name]
    things = metainfo.get("isthing")
    return Label(row, texts, color, bool(things and things[segment["category_id"]]))


def make_legend(
    shown: Mapping[int, Mapping[str, Any]], areas: np.ndarray, metainfo: Mapping[str, Any]
) -> list[Entry]:
    """An entry for each class that has a segment.

    Args:
        shown: row -> segment.
        areas: share of the picture of each row.
    """
    rows: dict[int, list[int]] = {}
    for row, segment in shown.items():
        rows.setdefault(segment["category_id"], []).append(row)
    classes, palette = metainfo["classes"], metainfo["palette"]
    return [
        Entry(classes[label], palette[label], float(areas[own].sum()), len(own))
        for label, own in rows.items()
    ]
