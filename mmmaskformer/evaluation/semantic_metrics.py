"""Metrics of label maps: mmseg's mIoU for any number of classes, ADE20K's score, PQ^St."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric as MMSegIoUMetric
from PIL import Image
from torch import Tensor

from ..registry import METRICS
from ..utils.files import png_name, replacing
from .metrics import as_array, pack_counts, read_field, report_groups, side_names
from .panoptic_quality import PanopticQuality, semantic_categories

MMSEG_METRICS = ("mIoU", "mDice", "mFscore")


@METRICS.register_module()
class IoUMetric(MMSegIoUMetric):
    """mmseg's `IoUMetric`, counting in integers, for images and class counts of any size.

    mmseg counts the pixels of a class in float32, which stops at 2**24 in one image, lets labels
    outside the range go unseen, and writes label maps of 8 bits. Here maps of more than 256
    classes have 16. Images of one name in different folders keep their folders, see
    `KeepFolders`.
    """

    image_folder: Path | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._written: dict[str, str] = {}
        asked = [self.metrics] if isinstance(self.metrics, str) else self.metrics
        if not asked or not set(asked) <= set(MMSEG_METRICS):
            raise ValueError(
                f"iou_metrics must be some of {', '.join(MMSEG_METRICS)}, got {self.metrics!r}"
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of some images, or write their label maps, or both.

        Raises:
            ValueError: a label outside [0, C) that is not `ignore_index`; names the file.
        """
        num_classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            pred = sample["pred_sem_seg"]["data"].squeeze(0)
            if self.format_only:
                self.results.append(())  # mmengine warns of metrics without results
            else:
                label = sample["gt_sem_seg"]["data"].squeeze(0).to(pred)
                try:
                    areas = self.intersect_and_union(pred, label, num_classes, self.ignore_index)
                except ValueError as error:
                    name = sample.get("seg_map_path") or sample.get("img_path") or "image"
                    raise ValueError(f"{name}: {error}") from error
                self.results.append(areas)
            if self.output_dir is not None:
                shift = int(bool(sample.get("reduce_zero_label")))
                name = self._name(sample["img_path"])
                write_label_map(Path(self.output_dir) / name, pred, num_classes, shift)

    def _name(self, image_path: str) -> str:
        """The name of an image's label map; ValueError if another image has had it."""
        name = png_name(image_path, self.image_folder)
        other = self._written.setdefault(name, image_path)
        if other != image_path:
            raise ValueError(
                f"{image_path} and {other} would be written under one name, {name}: add "
                "custom_hooks=[dict(type='mmmaskformer.KeepFolders')] to the config"
            )
        return name

    def compute_metrics(self, results: list) -> dict[str, float]:
        """See mmseg's; nothing for `format_only`."""
        self._written.clear()
        if self.format_only:
            print_log(f"wrote {len(results)} label maps to {self.output_dir}", logger="current")
            return {}
        return super().compute_metrics(results)

    @staticmethod
    def intersect_and_union(
        pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels (C,) float64 of intersection, union, prediction, ground truth, per class.

        Args:
            pred_label, label: (H, W) integers of one type.

        Raises:
            ValueError: a label outside [0, C) that is not `ignore_index`.
        """
        counted = label != ignore_index
        pred_label, label = pred_label[counted].long(), label[counted].long()
        if len(label) and not 0 <= label.min() <= label.max() < num_classes:
            bad = label[(label < 0) | (label >= num_classes)].unique().tolist()
            raise ValueError(
                f"label values {bad} are outside the allowed range [0, {num_classes - 1}] "
                f"(ignored: {ignore_index}); check num_classes, reduce_zero_label and ignore_index"
            )
        intersect, predicted, labelled = (
            torch.bincount(values, minlength=num_classes).double().cpu()
            for values in (label[label == pred_label], pred_label, label)
        )
        return intersect, predicted + labelled - intersect, predicted, labelled


def write_label_map(path: Path, labels: Tensor, num_classes: int, shift: int = 0) -> None:
    """Write labels (H, W) plus `shift` as a png, complete or not at all.

    The png has 8 bits, or 16 if a class may need them.
    """
    dtype = np.uint8 if num_classes + shift <= 256 else np.uint16
    with replacing(path) as work:
        Image.fromarray((labels.cpu().numpy() + shift).astype(dtype)).save(work, format="png")


@METRICS.register_module()
class SceneParsingMetric(IoUMetric):
    """`IoUMetric`, and ADE20K's challenge score: the mean of aAcc and mIoU."""

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages; `score` where both of its parts are there."""
        metrics = super().compute_metrics(results)
        if {"aAcc", "mIoU"} <= metrics.keys():
            metrics["score"] = (metrics["aAcc"] + metrics["mIoU"]) / 2
        return metrics


@METRICS.register_module()
class SemanticPQMetric(BaseMetric):
    """PQ_st, SQ_st, RQ_st of label maps, every class one stuff segment, in percent.

    Reads `pred_sem_seg` and `gt_sem_seg` as mmseg's IoUMetric does, so it may stand beside it
    with any mmseg model:

        val_evaluator = [dict(type="IoUMetric"), dict(type="mmmaskformer.SemanticPQMetric")]

    Beside `PanopticQualityMetric`, whose `PQ_st` is another number, give it a `prefix`.

    Args:
        ignore_index: label of ground-truth pixels that do not count.
        classwise: also log a table of all classes that occur.
        collect_device, prefix, collect_dir: as in `BaseMetric`.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        classwise: bool = False,
        *,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.ignore_index = ignore_index
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence) -> None:
        """Count the classes of some images; label maps are `data` (1, H, W) or (H, W).

        Raises:
            ValueError: as `PanopticQuality.update_semantic`, or a sample without one of the two.
        """
        quality = PanopticQuality(self._categories())
        for sample in data_samples:
            name = sample.get("img_path") or "image"
            gt, pred = (
                as_array(read_field(sample, name, key, "data"))
                for key in ("gt_sem_seg", "pred_sem_seg")
            )
            gt, pred = (array[0] if array.ndim == 3 else array for array in (gt, pred))
            gt_name, pred_name = side_names(name)
            counts = quality.update_semantic(
                gt, pred, ignore_index=self.ignore_index, gt_name=gt_name, pred_name=pred_name
            )
            self.results.append(pack_counts(counts))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages of all images."""
        return report_groups(self._categories(), results, {"Stuff": "_st"}, self.classwise)

    def _categories(self) -> list[dict]:
        classes = (self.dataset_meta or {}).get("classes")
        if not classes:
            raise ValueError("SemanticPQMetric needs 'classes' in the dataset's metainfo")
        return semantic_categories(classes)
