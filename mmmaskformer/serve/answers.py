"""What is kept of a photograph, and everything that can be made of it without the network."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch

from ..core.view_merging import merge_views
from ..core.views import View
from ..inference import Prediction
from ..utils.png_ids import ids_to_colors
from ..visualization.painting import segment_boxes, segment_colors, with_palette
from ..visualization.queries import COLORS
from .competition import Competition

VIEWS = ("panoptic", "semantic", "queries")
QUERY_THRESHOLD = 0.5
"""Least probability of a query that is shown, where the model has no panoptic fusion to say so."""


@dataclass(frozen=True)
class Thresholds:
    """Those of the panoptic fusion, if it has them; the first one is that of the queries, too."""

    object_threshold: float
    overlap_threshold: float


@dataclass(frozen=True)
class Map:
    """A picture's worth of numbers.

    Attributes:
        ids: (H, W) uint16, 0 is nothing.
        entries: what the ids stand for, one dict each: `id`, `category_id`, `class`, `area` in
            pixels, `color`, and `score` and `isthing` where the view has them.
    """

    ids: np.ndarray
    entries: list[dict[str, Any]]

    def packed(self) -> bytes:
        """For the page, gzipped: the length of the json as 4 bytes, the json, the ids; little
        endian."""
        height, width = self.ids.shape
        head = json.dumps({"width": width, "height": height, "entries": self.entries}).encode()
        head += b" " * (len(head) % 2)  # the ids begin at an even byte
        body = len(head).to_bytes(4, "little") + head + self.ids.astype("<u2").tobytes()
        return gzip.compress(body, 1)


class Answer:
    """The factored answer for one photograph.

    The pixels of the photograph are dropped. Maps are made at the photograph's size, or at
    `shown_size`, for which whatever no threshold changes is made once.
    """

    def __init__(self, prediction: Prediction, most_pixels: int) -> None:
        self.prediction = _without_pixels(prediction, prediction.size)
        self.name, self.size = prediction.name, prediction.size
        self.shown_size = fit(self.size, most_pixels)
        self.is_new = True  # nobody has asked for its segments

    @property
    def nbytes(self) -> int:
        """Memory in bytes, about."""
        labels = 2 * self.shown_size[0] * self.shown_size[1]
        if self.competition is not None:
            return labels + self.competition.nbytes
        return labels + sum(view.maps.nbytes for view in self.prediction.views)

    @cached_property
    def view(self) -> View | None:
        """The factors as one view; None of a model without queries."""
        if not has_queries(self.prediction):
            return None
        with torch.inference_mode():
            return merge_views(self.prediction.views)

    @cached_property
    def competition(self) -> Competition | None:
        return None if self.view is None else Competition(self.view, self.shown_size)

    @cached_property
    def shown_semantic(self) -> np.ndarray:
        """The class of every pixel at `shown_size`, (H, W) uint16."""
        return self._semantic(self.shown_size)

    def prepare(self) -> bool:
        """Make ready a part of what no threshold changes; whether anything was left to do."""
        found = self.competition
        if found is not None and found.extend(found.joined + 1):
            return True
        if "shown_semantic" in vars(self):
            return False
        return self.shown_semantic is not None

    @torch.inference_mode()
    def map(self, view: str, thresholds: Thresholds, *, full: bool = False) -> Map:
        """One of `VIEWS`, at `shown_size`, or at the photograph's where `full`.

        Raises:
            ValueError: the model has no such view.
        """
        if view not in available_views(self.prediction):
            raise ValueError(f"the model has no view {view!r}")
        full = full and self.size != self.shown_size
        if view == "semantic":
            labels = self._semantic(self.size) if full else self.shown_semantic
            entries = [{"id": k + 1, "category_id": k} for k in range(labels.max() + 1)]
            return self._named(labels + 1, entries, self.palette)
        if view == "queries":
            return self._queries(thresholds.object_threshold, full)
        fusion, competition = self.prediction.head.panoptic_fusion, self.competition
        first, self.is_new = self.is_new and not (competition and competition.joined), False
        if competition is None or full or first:
            # One map alone is quicker without the lists that make the next ones quick.
            size = self.size if full else self.shown_size
            asked = {name: getattr(thresholds, name) for name in panoptic_thresholds(fusion)}
            shown = _without_pixels(self.prediction, size).with_thresholds(**asked)
            ids, segments = shown.panoptic.ids, shown.panoptic.segments
        else:
            ids, segments = competition.panoptic(fusion, **vars(thresholds))
        return self._named(ids, segments, self._colors(segments))

    def _semantic(self, size: tuple[int, int]) -> np.ndarray:
        labels = self.prediction.labels
        if labels is None:
            return _without_pixels(self.prediction, size).semantic.astype(np.uint16)
        return _nearest(labels, size).astype(np.uint16)

    def _queries(self, object_threshold: float, full: bool) -> Map:
        """Who wins which pixel; queries that win none are there, as they have masks."""
        found = self.competition
        assert found is not None
        count = found.count(object_threshold)
        numbers = np.append(found.queries[:count] + 1, 0)
        ids = numbers[found.owners(count)]
        entries = [
            {"id": int(found.queries[k]) + 1, "category_id": int(found.labels[k])}
            | {"query": int(found.queries[k]), "score": float(found.scores[k])}
            for k in range(count)
        ]
        colors = COLORS[np.arange(count) % len(COLORS)]
        return self._named(_nearest(ids, self.size) if full else ids, entries, colors, every=True)

    def _colors(self, segments: Sequence[dict]) -> list[np.ndarray]:
        return list(segment_colors(segments, self.palette).values())

    @cached_property
    def palette(self) -> np.ndarray:
        """A colour for every class, (C, 3) uint8."""
        return np.asarray(with_palette(self.prediction.meta)["palette"], np.uint8)

    def _named(
        self,
        ids: np.ndarray,
        entries: Sequence[dict],
        colors: Sequence[np.ndarray],
        *,
        every: bool = False,
    ) -> Map:
        """The map with names, colours and areas; entries of no pixel stay where `every`."""
        areas = np.bincount(ids.ravel(), minlength=ids.max(initial=0) + 1)
        named = []
        for entry, color in zip(entries, colors, strict=False):
            area = int(areas[entry["id"]]) if entry["id"] < len(areas) else 0
            if area or every:
                name = self.prediction.meta["classes"][entry["category_id"]]
                named.append({**entry, "class": name, "area": area, "color": color.tolist()})
        return Map(ids.astype(np.uint16), named)

    def query(self, number: int) -> bytes:
        """The mask of a query: its probabilities on the network's grid, (h, w) uint8 of 255.

        Raises:
            ValueError: there is no such query.
        """
        view = self.view
        if view is None or not 0 <= number < len(view.mask_logits):
            raise ValueError(f"there is no query {number}")
        height, width = self.grid
        mask = view.mask_logits[number, :height, :width].sigmoid()
        mask = mask.flip(-1) if view.flip else mask
        return (mask * 255).round().byte().cpu().numpy().tobytes()

    @property
    def grid(self) -> tuple[int, int]:
        """h, w of the masks of queries, the padding cut."""
        if self.view is None:
            return 0, 0
        maps = self.view.mask_logits.shape[1:]
        parts = zip(maps, self.view.content_size, self.view.input_size, strict=True)
        height, width = (round(cells * content / whole) for cells, content, whole in parts)
        return max(1, height), max(1, width)


def has_queries(prediction: Prediction) -> bool:
    """Whether there are queries whose masks are independent of each other, so that `Competition`
    says who wins."""
    compete = (
        getattr(prediction.head.fusion, "queries_compete", False) if prediction.views else True
    )
    return not compete and isinstance(prediction.views[0], View)


def available_views(prediction: Prediction) -> list[str]:
    """Those of `VIEWS` that a prediction has."""
    queries = has_queries(prediction)
    return ["panoptic"] * prediction.can("panoptic") + ["semantic"] + ["queries"] * queries


def panoptic_thresholds(fusion: Any) -> list[str]:
    """Names of those of `Thresholds` that a panoptic fusion has."""
    return [one.name for one in fields(Thresholds) if hasattr(fusion, one.name)]


def fit(size: tuple[int, int], most_pixels: int) -> tuple[int, int]:
    """H, W of the same shape with at most so many pixels, about; smaller ones stay."""
    scale = min(1.0, (most_pixels / (size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def png(found: Map, view: str) -> bytes:
    """A png of the map at its size.

    Panoptic ids are in COCO's colours, R + 256 G + 65536 B with 0 for void; classes and queries
    are grey, and 255 (65535 in 16 bits) is none, as in the label maps of datasets.
    """
    ids = found.ids
    if view == "panoptic":
        pixels = ids_to_colors(ids.astype(np.int32))[..., ::-1]
    else:
        deep = ids.max(initial=0) > 255
        pixels = (ids - 1).astype(np.uint16 if deep else np.uint8)  # 0 wraps to the largest
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def boxed(found: Map) -> list[dict[str, Any]]:
    """The entries with `box`, (x0, y0, x1, y1) in pixels, the last two exclusive."""
    boxes = segment_boxes(found.ids)
    return [{**entry, "box": list(boxes.get(entry["id"], ())) or None} for entry in found.entries]


def _without_pixels(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """The prediction for a black image of `size`, which takes no memory."""
    return replace(prediction, image=np.broadcast_to(np.uint8(0), (*size, 3)))


def _nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map of numbers (H, W) at another size, each the nearest one."""
    rows, columns = (
        (np.arange(new) + 0.5) * old // new for old, new in zip(values.shape, size, strict=True)
    )
    return values[rows.astype(int)[:, None], columns.astype(int)]
