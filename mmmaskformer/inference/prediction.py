"""What a model says about one image, and the forms that people want it in."""

from __future__ import annotations

import copy
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.model import BaseModule
from PIL import Image

from ..core.checks import check_number
from ..core.views import AnyView
from ..visualization import Style, panoptic_overlay, semantic_overlay
from ..visualization.painting import resized, segment_boxes, with_palette
from .encodings import Region, to_coco, to_json, to_supervision
from .saving import save_prediction

TASKS = ("panoptic", "semantic", "instance")
NOTEBOOK = (480, 1600)
"""Pixels of the longer side of a picture in a notebook, at least and at most."""


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


@dataclass(frozen=True, eq=False, repr=False)
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
        thresholds: `object_threshold` and `overlap_threshold`, which replace the head's.
        task: "panoptic", "semantic" or "instance", what pictures, json and files show; None:
            panoptic where the model can, else semantic.
        classes: names of the classes that are kept; None: all.
    """

    image: np.ndarray
    name: str
    head: BaseModule
    views: Sequence[AnyView]
    meta: Mapping[str, Any]
    labels: np.ndarray | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    task: str | None = None
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.task is None:
            best = "panoptic" if self.can("panoptic") else "semantic"
            object.__setattr__(self, "task", best)
        check_task(self.task)

    @property
    def size(self) -> tuple[int, int]:
        """H, W of the image and of every result."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def void(self) -> int:
        """The label of pixels without a class: 255, or 65535 where 255 is a class."""
        return 255 if len(self.meta["classes"]) <= 255 else 65535

    @cached_property
    def semantic(self) -> np.ndarray:
        """The class of every pixel, (H, W) int64; `void` where `classes` leaves its class out."""
        if self.labels is not None:
            labels = self.labels
        else:
            labels = self.head.fusion.labels(self.views, self.size).cpu().numpy()
        kept = self._kept(self.classes)
        return labels if kept is None else np.where(np.isin(labels, list(kept)), labels, self.void)

    @cached_property
    def panoptic(self) -> Panoptic:
        """The segments of a panoptic model.

        Raises:
            ValueError: the model does not tell things from stuff.
        """
        result = self._fuse("panoptic")
        ids, kept = result.ids.cpu().numpy(), self._kept(self.classes)
        segments = [s for s in result.segments_info if kept is None or s["category_id"] in kept]
        if len(segments) < len(result.segments_info):
            ids = np.where(np.isin(ids, [s["id"] for s in segments]), ids, np.int32(0))
        found = segment_boxes(ids)
        return Panoptic(ids, [{**self._named(s), "box": list(found[s["id"]])} for s in segments])

    @cached_property
    def instances(self) -> list[dict[str, Any]]:
        """The things of a panoptic model, best first; their masks may overlap.

        Each is a dict of `category_id` (the class index), `class`, `score`, `box` as in
        `Panoptic`, `area` and `mask` (H, W) bool. The class probability of each is above
        `object_threshold`.

        Raises:
            ValueError: the model does not tell things from stuff.
        """
        result, kept = self._fuse("instance"), self._kept(self.classes)
        found = []
        for label, score, mask in zip(
            result.labels.tolist(), result.scores.tolist(), result.masks.cpu().numpy(), strict=True
        ):
            if not mask.any() or (kept is not None and label not in kept):
                continue
            box = segment_boxes(mask.astype(np.uint8))[1]
            entry = dict(category_id=label, score=score, box=list(box), area=int(mask.sum()))
            found.append({**self._named(entry), "mask": mask})
        return found

    def with_thresholds(self, **thresholds: float) -> Prediction:
        """The same answer with another `object_threshold` or `overlap_threshold`.

        Raises:
            ValueError: no such threshold, or not from 0 to 1.
        """
        for name, value in thresholds.items():
            if name not in ("object_threshold", "overlap_threshold"):
                raise ValueError(
                    f"there is no {name!r}; wanted object_threshold or overlap_threshold"
                )
            check_number(name, value, 0, 1)
        return replace(self, thresholds={**self.thresholds, **thresholds})

    def plot(
        self,
        opacity: float = 0.6,
        labels: bool = True,
        scores: bool = True,
        boundaries: bool = True,
        classes: Sequence[str] | None = None,
        *,
        legend: bool = False,
        task: str | None = None,
    ) -> np.ndarray:
        """The results over the image.

        Args:
            opacity: of the colours, 0 to 1.
            labels: whether names are written where there is room; `scores`: and scores.
            boundaries: whether there are lines around things, or around classes.
            classes: names of the classes to show; None: all.
            legend: whether the classes and their shares stand below the picture.
            task: what to show; None: the prediction's.

        Returns:
            (H, W, 3) uint8 RGB; with a legend it is higher, and wider than narrow images.

        Raises:
            ValueError: no such class or task, or the model can not do it.
        """
        style = Style(opacity, labels, scores, boundaries, legend, self._kept(classes))
        ids, segments = self._map(task)
        return self._overlay(self.image, ids, segments, style)

    def save(
        self, folder: str | Path, name: str | None = None, *, masks: bool = False, **plot: Any
    ) -> dict[str, Path]:
        """Write the results as files; see `inference.saving` for their names.

        Args:
            name: what the files' names begin with; None: the image's name.
            masks: whether the json has the masks, as that of `to_json`.
            plot: arguments of `plot` for the overlay.

        Returns:
            The files: `overlay`, `labels`, `panoptic` where the model can, and `json`.

        Raises:
            OSError, ValueError: a file can not be written; the folder is that of the image.
        """
        return save_prediction(self, folder, name, self.plot(**plot), masks=masks)

    def to_json(self, masks: bool = False) -> dict[str, Any]:
        """The results of the task in plain types; `encodings.to_json` describes them.

        Args:
            masks: whether segments have their `mask`, COCO's run lengths.
        """
        entries = to_json(self.regions(), self.meta, self.size, masks)
        height, width = self.size
        about = dict(image=self.name, height=height, width=width, task=self.task)
        return {**about, "segments": entries}

    def to_coco(
        self, segmentation: str = "rle", image_id: int | str | None = None
    ) -> list[dict[str, Any]]:
        """The segments of the task as COCO's annotations; see `encodings.to_coco`.

        Args:
            segmentation: "rle" for compressed run lengths, or "polygons".
            image_id: None: the image's name.
        """
        image_id = self.name if image_id is None else image_id
        return to_coco(self.regions(), self.meta, segmentation, image_id)

    def to_supervision(self):
        """The segments of the task as `supervision.Detections`, with `class_name` in its data.

        Raises:
            ModuleNotFoundError: supervision is not installed.
        """
        return to_supervision(self.regions())

    def regions(self) -> list[Region]:
        """The segments of the task, or its classes from the largest to the smallest, with masks
        that are made when somebody asks."""
        if self.task == "instance":
            return [Region(one, lambda one=one: one["mask"]) for one in self.instances]
        ids, segments = self._map(self.task)
        if segments is None:
            segments = self._classes()
        return [Region(s, lambda key=s["id"]: ids == key) for s in segments]

    def _classes(self) -> list[dict[str, Any]]:
        found = []
        for label, box in segment_boxes(self.semantic).items():
            if 0 <= label < len(self.meta["classes"]):
                x0, y0, x1, y1 = box
                area = int((self.semantic[y0:y1, x0:x1] == label).sum())
                entry = dict(id=label, category_id=label, area=area, box=list(box))
                found.append(self._named(entry))
        return sorted(found, key=lambda entry: -entry["area"])

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows, large enough for its text."""
        ids, segments = self._map(None)
        image, ids = resized(self.image, ids, *NOTEBOOK)
        picture = self._overlay(image, ids, segments, Style(legend=True))
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, format="png")
        return stream.getvalue()

    def __repr__(self) -> str:
        height, width = self.size
        counts: dict[str, int] = {}
        for region in self.regions():
            name = region.segment["class"]
            counts[name] = counts.get(name, 0) + 1
        found = [f"{count} {name}" if count > 1 else name for name, count in counts.items()]
        shown = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
        return f"<Prediction of {self.name}, {width}x{height}, {self.task}: {shown or 'nothing'}>"

    def can(self, task: str) -> bool:
        """Whether the model has this kind of inference."""
        return check_task(task) == "semantic" or self._fusion(task) is not None

    def _fusion(self, task: str) -> Any:
        return getattr(self.head, f"{task}_fusion", None) if self.views else None

    def _fuse(self, task: str) -> Any:
        """The result of panoptic or instance inference with the prediction's thresholds."""
        fusion = copy.copy(self._fusion(task))
        if fusion is None:
            raise ValueError(f"{self.name}: the model has no {task} inference")
        panoptic = self._fusion("panoptic")
        for name in self.thresholds:
            if not hasattr(panoptic, name):
                raise ValueError(f"{self.name}: {type(panoptic).__name__} has no {name}")
        if task == "panoptic":
            vars(fusion).update(self.thresholds)
        else:
            default = getattr(panoptic, "object_threshold", fusion.score_threshold)
            fusion.score_threshold = self.thresholds.get("object_threshold", default)
        return fusion(self.head.merge(self.views), self.size)

    def _named(self, segment: Mapping[str, Any]) -> dict[str, Any]:
        return {**segment, "class": self.meta["classes"][segment["category_id"]]}

    def _kept(self, names: Sequence[str] | None) -> set[int] | None:
        """The indices of classes."""
        if names is None:
            return None
        known = list(self.meta["classes"])
        names = [names] if isinstance(names, str) else names
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 3) or known[:3]
                raise ValueError(
                    f"the model knows no class {name!r}; wanted names such as {', '.join(near)}"
                )
        return {known.index(name) for name in names}

    def _map(self, task: str | None) -> tuple[np.ndarray, list[dict[str, Any]] | None]:
        """What a picture shows: ids (H, W) and segments, or labels (H, W) and None."""
        task = check_task(task or self.task)
        if task == "panoptic":
            return self.panoptic.ids, self.panoptic.segments
        if task == "semantic":
            return self.semantic, None
        ids, segments = np.zeros(self.size, np.int32), []
        for number, one in reversed(list(enumerate(self.instances, 1))):  # the best on top
            ids[one["mask"]] = number
            segments.insert(0, {**one, "id": number})
        return ids, segments

    def _overlay(
        self,
        image: np.ndarray,
        ids: np.ndarray,
        segments: list[dict[str, Any]] | None,
        style: Style,
    ) -> np.ndarray:
        meta = with_palette(self.meta)
        if segments is None:
            return semantic_overlay(image, ids, meta, style)
        things = {"isthing": self._fusion("panoptic").isthing}
        return panoptic_overlay(image, ids, segments, {**meta, **things}, style)


def check_task(task: str) -> str:
    """The task; ValueError for another."""
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    return task
