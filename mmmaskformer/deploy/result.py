"""What an exported model says about one image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..utils.files import replacing
from ..utils.png_ids import ids_to_colors
from .fusion import Factors, panoptic_segments, semantic_labels

OVERLAY, LABELS, PANOPTIC, SEGMENTS = (
    "_overlay.jpg",
    "_labels.png",
    "_panoptic.png",
    "_panoptic.json",
)
"""How the names of written files end."""


@dataclass(frozen=True)
class Panoptic:
    """Disjoint segments of an image.

    Attributes:
        ids: (H, W) int32, 0 is void.
        segments: one dict a segment: `id`, `category_id` (the class index), `class`, `score`,
            `isthing`, `area` in pixels, `box` (x0, y0, x1, y1) in pixels, the last two exclusive.
    """

    ids: np.ndarray
    segments: list[dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """The answer for one image; labels and segments are made when somebody asks.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        name: what the image is called, usually its path.
        factors: what the network says.
        meta: the metadata of the exported file.
    """

    image: np.ndarray
    name: str
    factors: Factors
    meta: Mapping[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """H, W of the image and of every result."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def semantic(self) -> np.ndarray:
        """The class of every pixel, (H, W) int64."""
        return semantic_labels(self.factors, self.size, self.meta["semantic"])

    @cached_property
    def panoptic(self) -> Panoptic:
        """The segments of a panoptic model.

        Raises:
            ValueError: the model does not tell things from stuff.
        """
        if self.meta["panoptic"] is None:
            raise ValueError(f"{self.name}: the model has no panoptic inference")
        ids, segments = panoptic_segments(
            self.factors, self.size, self.meta["isthing"], **self.meta["panoptic"]
        )
        return Panoptic(ids, [self._describe(ids, segment) for segment in segments])

    def _describe(self, ids: np.ndarray, segment: dict[str, Any]) -> dict[str, Any]:
        own = ids == segment["id"]
        rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        name = self.meta["classes"][segment["category_id"]]
        return {**segment, "class": name, "box": [int(edge) for edge in box]}

    def overlay(self, opacity: float = 0.5) -> np.ndarray:
        """The image under the colours of its classes, (H, W, 3) uint8 RGB."""
        colors = np.asarray(self.meta["palette"], np.float32)[self.semantic]
        return (self.image * (1 - opacity) + colors * opacity + 0.5).astype(np.uint8)

    def save(self, folder: str | Path, stem: str | None = None) -> list[Path]:
        """Write an overlay, the labels and, of a panoptic model, the segments as COCO does; returns
        what was written.

        Args:
            stem: how the files' names begin; None: as the image's.
        """
        stem = Path(self.name).stem if stem is None else stem
        depth = np.uint8 if len(self.meta["classes"]) <= 255 else np.uint16
        pictures = {OVERLAY: self.overlay(), LABELS: self.semantic.astype(depth)}
        if self.meta["panoptic"] is not None:
            pictures[PANOPTIC] = ids_to_colors(self.panoptic.ids)
        for end, pixels in pictures.items():
            with replacing(Path(folder, stem + end)) as work:
                Image.fromarray(pixels).save(work, "JPEG" if end == OVERLAY else "PNG")
        written = [Path(folder, stem + end) for end in pictures]
        if self.meta["panoptic"] is not None:
            content = {"file_name": stem + PANOPTIC, "segments_info": self.panoptic.segments}
            written.append(Path(folder, stem + SEGMENTS))
            with replacing(written[-1]) as work:
                work.write_text(json.dumps(content), encoding="utf-8")
        return written
