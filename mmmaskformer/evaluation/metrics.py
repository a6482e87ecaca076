"""Panoptic quality as metrics of mmengine's runners, for mmseg and mmdet models.

Both keep a few counts per image, never a map, so they stream and work over several processes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ..registry import METRICS
from ..utils.files import png_name
from ..utils.json_kinds import duplicates
from ..utils.text import listing
from .panoptic_quality import PanopticQuality
from .report import class_table, odd_warning
from .submission import write_annotations, write_prediction

OF_MMDET = {"gt_panoptic_seg": "panoptic_truth", "pred_panoptic_seg": "panoptic_result"}
"""Where mmdet's samples hold the two sides; they have its own encoding under the first names."""


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """PQ, SQ, RQ, and the same of things (`_th`) and of stuff (`_st`), in percent.

    A data sample, dict or mmengine data element, carries

    * `gt_panoptic_seg`: `ids` (H, W) integers, 0 is void; `segments_info`, a list of dicts with
      `id`, `category_id`, `iscrowd` and `area`;
    * `pred_panoptic_seg`: the same without `iscrowd` and `area`; a `score` is ignored.

    Samples of mmdet carry the two as `panoptic_truth` and `panoptic_result`; what another
    detector predicts is read from its encoding, `pred_panoptic_seg.sem_seg`.

    `category_id` is the class index. The dataset's metainfo has `classes` and `isthing`, one
    entry per class. Values of a group of which no class occurs are left out, with a warning.

    Args:
        classwise: also log a table of all classes that occur.
        output_dir: where to write predictions in COCO's format, `panoptic.json` and
            `panoptic/*.png`; None: nowhere.
        format_only: write without evaluating; ground truth is not needed.
        collect_device, prefix, collect_dir: as in `BaseMetric`.
    """

    def __init__(
        self,
        classwise: bool = False,
        *,
        output_dir: str | None = None,
        format_only: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if format_only and output_dir is None:
            raise ValueError("format_only needs output_dir")
        self.classwise = classwise
        self.output_dir = output_dir
        self.format_only = format_only
        self._written: dict[str, str] = {}
        self._warned = False

    def process(self, data_batch: Any, data_samples: Sequence) -> None:
        """Count the segments of some images, or write them.

        Raises:
            ValueError: as `PanopticQuality.update`, or a sample without one of the two.
        """
        quality = PanopticQuality(self._categories())
        for sample in data_samples:
            name = sample.get("img_path") or "image"
            pred = self._side(sample, name, "pred_panoptic_seg")
            folder = self.output_dir
            entry = None if folder is None else self._write(folder, sample, name, pred)
            if self.format_only:
                self.results.append((None, entry))
                continue
            truth = self._side(sample, name, "gt_panoptic_seg")
            gt_name, pred_name = side_names(name)
            counts = quality.update(*truth, *pred, gt_name=gt_name, pred_name=pred_name)
            self.results.append((pack_counts(counts), entry))
        if quality.oddities and not self._warned:
            self._warned = True
            print_log(odd_warning(quality.oddities), "current", logging.WARNING)

    def _side(self, sample: Any, name: str, key: str) -> tuple[np.ndarray, list]:
        side = sample.get(key)
        if sample.get(OF_MMDET[key]) is not None:
            key = OF_MMDET[key]
        elif key == "pred_panoptic_seg" and side is not None and "sem_seg" in side:
            return decode_map(as_array(side.get("sem_seg")), len(self._categories()))
        ids, segments = (read_field(sample, name, key, k) for k in ("ids", "segments_info"))
        return as_array(ids), segments

    def _write(self, folder: str, sample: Any, name: str, pred: tuple[np.ndarray, list]) -> dict:
        image_id = sample.get("img_id")
        image_id = Path(name).stem if image_id is None else image_id
        other = self._written.setdefault(png_name(name), name)
        if other != name:
            raise ValueError(
                f"{name}: another image of this name has been written already, {other}; COCO's "
                "format keeps no folders, so rename one"
            )
        category_ids = self.dataset_meta.get("category_ids")
        return write_prediction(Path(folder) / "panoptic", name, image_id, *pred, category_ids)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages of all images; writes the json."""
        self._written.clear()
        if self.output_dir is not None:
            path, entries = Path(self.output_dir) / "panoptic.json", [entry for _, entry in results]
            twice = duplicates(entry["file_name"] for entry in entries)
            if twice:  # two processes can not know of each other's
                raise ValueError(f"{path}: several images were written as {listing(twice)}")
            write_annotations(path, entries)
            print_log(f"wrote {path}", logger="current")
        if self.format_only:
            return {}
        results = [counts for counts, _ in results]
        groups = {"All": "", "Things": "_th", "Stuff": "_st"}
        return report_groups(self._categories(), results, groups, self.classwise)

    def _categories(self) -> list[dict]:
        meta = self.dataset_meta or {}
        classes, isthing = meta.get("classes"), meta.get("isthing")
        if not classes or isthing is None or len(isthing) != len(classes):
            raise ValueError(
                "PanopticQualityMetric needs 'classes' and 'isthing' of equal length in the "
                f"dataset's metainfo, got {classes} and {isthing}"
            )
        return [
            {"id": c, "name": name, "isthing": int(thing)}
            for c, (name, thing) in enumerate(zip(classes, isthing, strict=True))
        ]


def decode_map(encoded: np.ndarray, num_classes: int) -> tuple[np.ndarray, list[dict]]:
    """mmdet's class + 1000 * instance (1, H, W), void above the classes, as ids and segments."""
    codes, index = np.unique(encoded, return_inverse=True)
    labels = codes % 1000
    known = labels < num_classes
    ids = np.where(known, known.cumsum(), 0)
    found = zip(ids[known].tolist(), labels[known].tolist(), strict=True)
    segments = [dict(id=number, category_id=label) for number, label in found]
    return ids[index].reshape(encoded.shape[-2:]), segments


def read_field(sample: Any, name: str, *keys: str) -> Any:
    """`sample[keys[0]][keys[1]]...`; ValueError with the image's name where there is none."""
    value = sample
    for key in keys:
        value = value.get(key)
        if value is None:
            raise ValueError(f"{name}: the data sample has no {'.'.join(keys)}")
    return value


def as_array(data: Any) -> np.ndarray:
    """A tensor or anything like an array, as numpy's."""
    return data.cpu().numpy() if hasattr(data, "cpu") else np.asarray(data)


def side_names(image: str) -> tuple[str, str]:
    """What errors call ground truth and prediction."""
    return f"{image}: ground truth", f"{image}: prediction"


def pack_counts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of (C, 4) counts that are not 0: with many classes, an image has few of them."""
    rows = np.flatnonzero(counts.any(1))
    return rows, counts[rows]


def report_groups(
    categories: list[dict], results: list, suffixes: dict[str, str], classwise: bool
) -> dict[str, float]:
    """Percentages of the groups in `suffixes`, under mmdet's names; logs what was asked for."""
    quality = PanopticQuality(categories)
    for rows, counts in results:
        quality.counts[rows] += counts
    result = quality.compute()
    if classwise:
        print_log("per class results:\n" + class_table(result, categories), logger="current")
    metrics = {}
    for group, suffix in suffixes.items():
        if not result[group]["n"]:
            print_log(
                f"PQ{suffix} is not available: no class of this group occurs",
                logger="current",
                level=logging.WARNING,
            )
            continue
        for key in ("pq", "sq", "rq"):
            metrics[key.upper() + suffix] = 100 * result[group][key]
    return metrics
