"""What a model says about one image, and the forms that people want it in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.model import BaseModule

from ..core.view_merging import merge_views
from ..core.views import View


@dataclass(frozen=True)
class Panoptic:
    """Disjoint segments of an image.

    Attributes:
        ids: (H, W) int32, 0 is void.
        segments: one dict a segment, best known keys: `id`, `category_id` (the class index),
            `class`, `score`, `isthing`, `area` in pixels, `box` (x0, y0, x1, y1) in pixels, the
            last two exclusive.
    """

    ids: np.ndarray
    segments: list[dict[str, Any]]


@dataclass(frozen=True)
class Prediction:
    """The answer for one image, still factored: labels, segments and pictures are made of it when
    somebody asks, so thresholds can change without another run of the network.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        name: what the image is called, usually its path.
        head: the decode head, whose fusions make the results.
        views: the factors, one for each view of the image; empty for a model of another package.
        meta: `classes`, `palette` and, of a panoptic model, `isthing`.
        labels: (H, W) class indices of a model without views.
        thresholds: of the panoptic fusion, which replace the head's.
    """

    image: np.ndarray
    name: str
    head: BaseModule
    views: Sequence[View]
    meta: Mapping[str, Any]
    labels: np.ndarray | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """H, W of the image and of every result."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def semantic(self) -> np.ndarray:
        """The class of every pixel, (H, W) int64."""
        if self.labels is not None:
            return self.labels
        return self.head.fusion.labels(self.views, self.size).cpu().numpy()

    @cached_property
    def panoptic(self) -> Panoptic:
        """The segments of a panoptic model.

        Raises:
            ValueError: the model does not tell things from stuff.
        """
        fusion = getattr(self.head, "panoptic_fusion", None)
        if fusion is None or not self.views:
            raise ValueError(f"{self.name}: the model has no panoptic inference")
        fusion = copy.copy(fusion)
        vars(fusion).update(self.thresholds)
        result = fusion(merge_views(self.views), self.size)
        ids = result.ids.cpu().numpy()
        return Panoptic(ids, [self._describe(ids, entry) for entry in result.segments_info])

    def _describe(self, ids: np.ndarray, segment: dict) -> dict[str, Any]:
        rows, columns = np.nonzero(ids == segment["id"])
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        name = self.meta["classes"][segment["category_id"]]
        return {**segment, "class": name, "box": [int(edge) for edge in box]}

    def with_thresholds(self, **thresholds: float) -> Prediction:
        """The same answer with another `object_threshold` or `overlap_threshold`."""
        return replace(self, thresholds={**self.thresholds, **thresholds})
