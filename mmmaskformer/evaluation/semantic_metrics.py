"""Metrics of label maps beside mmseg's own: PQ^St, and ADE20K's challenge score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmseg.evaluation import IoUMetric

from ..registry import METRICS
from .metrics import as_array, pack_counts, read_field, report_groups, side_names
from .panoptic_quality import PanopticQuality, semantic_categories


@METRICS.register_module()
class SceneParsingMetric(IoUMetric):
    """mmseg's `IoUMetric`, and ADE20K's challenge score: the mean of aAcc and mIoU."""

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
            counts = quality.update_semantic(
                gt, pred, ignore_index=self.ignore_index, **side_names(name)
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
