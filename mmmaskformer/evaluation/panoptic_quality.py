"""Panoptic quality (Kirillov et al., CVPR 2019), streaming, in numpy alone.

The numbers are those of the official COCO evaluation, its corner cases included. Letters: H, W
image; C categories; G ground-truth and P predicted segments of one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..utils.json_kinds import is_flag, is_whole
from ..utils.text import listing
from .overlap import VOID, check_maps, joint_runs, overlap

MOST_ODDITIES = 9
"""So many of them are kept."""


class PanopticQuality:
    """Adds up images, one pass over each; counts of different images may be merged.

    Args:
        categories: C dicts with `id` and `isthing` (and, for reports, `name`), as in COCO's json.

    Attributes:
        oddities: up to 9 things, in words, that count as officially, and may not be meant:
            ground-truth segments whose area is not that of the map, among them those without a
            pixel, and ids of the ground-truth map that its `segments_info` lacks.
        counts: (C, 4) float64, the whole state: sum of IoUs, true positives, false positives and
            false negatives of each category.

    Raises:
        ValueError: a category without `id` or `isthing`, or an id that occurs twice.
    """

    def __init__(self, categories: Iterable[dict]) -> None:
        self.categories = list(categories)
        for category in self.categories:
            for key, is_right in (("id", is_whole), ("isthing", is_flag)):
                if not isinstance(category, dict) or not is_right(category.get(key)):
                    raise ValueError(f"category {category!r} has no whole number {key!r}")
                if category["id"] < 0:
                    raise ValueError(f"category {category!r} has a negative 'id'")
        ids = [category["id"] for category in self.categories]
        self._rows = {category_id: row for row, category_id in enumerate(ids)}
        if len(self._rows) != len(ids):
            raise ValueError(f"category ids must differ, got {sorted(ids)}")
        self.counts = np.zeros((len(ids), 4))
        self.oddities: list[str] = []

    def merge(self, other: PanopticQuality) -> None:
        """Add the images that `other` has seen.

        Raises:
            ValueError: the categories differ.
        """
        if self.categories != other.categories:
            raise ValueError("can not merge: the categories differ")
        self.counts += other.counts
        self.oddities = (self.oddities + other.oddities)[:MOST_ODDITIES]

    def update(
        self,
        gt_ids: np.ndarray,
        gt_segments: Sequence[dict],
        pred_ids: np.ndarray,
        pred_segments: Sequence[dict],
        *,
        gt_name: str = "ground truth",
        pred_name: str = "prediction",
    ) -> np.ndarray:
        """Add one image; the result is its own counts, (C, 4).

        Args:
            gt_ids, pred_ids: (H, W) integers, segment of each pixel, 0 is void. Ground-truth ids
                that are not in `gt_segments` are allowed; they are neither void nor a segment.
            gt_segments: G dicts with `id`, `category_id`, `area` and `iscrowd` (0 if absent). The
                area is taken from here, not from the map.
            pred_segments: P dicts with `id` and `category_id`.
            gt_name, pred_name: what errors call the two, usually their files.

        Raises:
            ValueError: the sizes differ; segments without a field, with id 0 or one id twice, of
                an unknown category or without area, a finite number; an area below what the
                segment shares with a prediction, so that its IoU would be above 1; ids that only
                the predicted map or only `pred_segments` has.
            TypeError: a map is not of integers.
        """
        check_maps(gt_ids, pred_ids, gt_name, pred_name)
        gt_known, gt_rows = self._read(gt_segments, gt_name)
        pred_known, pred_rows = self._read(pred_segments, pred_name)
        gt_area, crowd = _area_and_crowd(gt_segments, gt_name)
        common, on_void, area, gt_in_map, unlisted = overlap(
            gt_ids, gt_known, pred_ids, pred_known, pred_name
        )
        check_areas(gt_known, gt_area, common, gt_name)
        found = oddities_of(gt_known, gt_area, gt_in_map, unlisted, gt_name)
        self.oddities += found[: MOST_ODDITIES - len(self.oddities)]

        iou = common / (area + gt_area[:, None] - common - on_void)
        matched = (iou > 0.5) & (gt_rows[:, None] == pred_rows) & ~crowd[:, None]
        excused = on_void + _on_last_crowd(common, gt_rows, crowd, pred_rows)
        wrong = ~matched.any(0) & ~(excused / area > 0.5)
        missed = ~matched.any(1) & ~crowd
        g, p = np.nonzero(matched)
        return self._add(gt_rows[g], iou[g, p], pred_rows[wrong], gt_rows[missed])

    def update_semantic(
        self,
        gt_labels: np.ndarray,
        pred_labels: np.ndarray,
        *,
        ignore_index: int = 255,
        gt_name: str = "ground truth",
        pred_name: str = "prediction",
    ) -> np.ndarray:
        """Add one image, every class one segment (PQ^St); the result is its own counts, (C, 4).

        Args:
            gt_labels, pred_labels: (H, W) integers, rows of `categories`. `ignore_index` is void
                in the first. In the second, negative values and an `ignore_index` that is no
                class mean no prediction; such pixels become class 0, as in published numbers.

        Raises:
            ValueError: the sizes differ; a label outside [0, C).
            TypeError: a map is not of integers.
        """
        check_maps(gt_labels, pred_labels, gt_name, pred_name)
        classes = len(self.categories)
        gt, pred, lengths = joint_runs(gt_labels, pred_labels)
        gt, pred, void = gt.astype(np.int64), pred.astype(np.int64), gt == ignore_index
        pred[(pred < 0) | ((pred == ignore_index) & (pred >= classes))] = 0
        _check_labels(gt[~void], classes, gt_name)
        _check_labels(pred, classes, pred_name)

        def pixels(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
            return np.bincount(labels[where], lengths[where], classes)

        common, gt_area = pixels(gt, (gt == pred) & ~void), pixels(gt, ~void)
        on_void = pixels(pred, void)
        area = pixels(pred, ~void) + on_void
        iou = _ratio(common, area + gt_area - common - on_void)
        matched = iou > 0.5
        wrong = (area > 0) & ~matched & ~(_ratio(on_void, area) > 0.5)
        missed = (gt_area > 0) & ~matched
        tp, fp, fn = (np.flatnonzero(rows) for rows in (matched, wrong, missed))
        return self._add(tp, iou[tp], fp, fn)

    def compute(self) -> dict:
        """The result so far.

        Returns:
            `All`, `Things`, `Stuff`: `pq`, `sq`, `rq` in [0, 1], means over the `n` classes that
            occur in ground truth or prediction; None where there is no such class.
            `per_class`: category id -> `pq`, `sq`, `rq`, `iou` (sum), `tp`, `fp`, `fn`, all 0
            for a class that does not occur.
        """
        iou, tp, fp, fn = self.counts.T
        weight = tp + fp / 2 + fn / 2
        scores = np.stack([_ratio(iou, weight), _ratio(iou, tp), _ratio(tp, weight)], 1)
        thing = np.array([bool(category["isthing"]) for category in self.categories], bool)
        result: dict = {}
        for name, group in (("All", thing | True), ("Things", thing), ("Stuff", ~thing)):
            members = scores[group & (weight > 0)]
            means = members.mean(0).tolist() if len(members) else (None,) * 3
            result[name] = {**dict(zip(("pq", "sq", "rq"), means, strict=True)), "n": len(members)}
        result["per_class"] = {
            category["id"]: {
                **dict(
                    zip(("pq", "sq", "rq", "iou"), (*row.tolist(), float(count[0])), strict=True)
                ),
                **dict(zip(("tp", "fp", "fn"), map(int, count[1:]), strict=True)),
            }
            for category, row, count in zip(self.categories, scores, self.counts, strict=True)
        }
        return result

    def _read(self, segments: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids (N,) int64 and rows of `categories` (N,) of some segments."""
        for segment in segments:
            for key in ("id", "category_id"):
                value: Any = segment.get(key) if isinstance(segment, dict) else None
                if not is_whole(value) or not 0 <= value < 1 << 63:
                    raise ValueError(
                        f"{name}: every segment needs 'id' and 'category_id', whole numbers of at "
                        f"least 0 ({key!r}), got {segment}"
                    )
        ids = [int(segment["id"]) for segment in segments]
        rows = [self._rows.get(segment["category_id"], -1) for segment in segments]
        known = np.array(ids, np.int64)
        if -1 in rows:
            bad = [segment for segment, row in zip(segments, rows, strict=True) if row == -1]
            raise ValueError(
                f"{name}: unknown category_id {list({s['category_id']: 0 for s in bad})} of "
                f"segments {[s['id'] for s in bad]}"
            )
        if VOID in ids or len(set(ids)) != len(ids):
            raise ValueError(f"{name}: segment ids must differ, and 0 is void; got {sorted(ids)}")
        return known, np.array(rows, np.int64)

    def _add(self, tp: np.ndarray, ious: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
        """Add events, given as rows of `categories`, and IoUs of the true positives."""
        size = len(self.categories)
        columns = [np.bincount(tp, ious, size), *(np.bincount(r, None, size) for r in (tp, fp, fn))]
        counts = np.stack(columns, 1)
        self.counts += counts
        return counts


def check_areas(known: np.ndarray, area: np.ndarray, common: np.ndarray, name: str) -> None:
    """Raise ValueError for areas (G,) smaller than the pixels `common` (G, P) with a prediction."""
    wrong = common.max(1, initial=0) > area
    if wrong.any():
        found = list(zip(known[wrong].tolist(), area[wrong].tolist(), strict=True))
        raise ValueError(
            f"{name}: segments (id, 'area') {found} share more pixels than their area with a "
            "prediction, so that their IoU would be above 1; is 'area' that of this map?"
        )


def oddities_of(
    known: np.ndarray, area: np.ndarray, in_map: np.ndarray, unlisted: np.ndarray, name: str
) -> list[str]:
    """What is odd about a ground-truth map, one short text each.

    Args:
        known, area, in_map: (G,) ids of the segments, their areas, and their pixels in the map.
        unlisted: ids of the map that no segment has.
    """
    odd = area != in_map
    found = [
        f"{name}: the area of segment {number} is {said:g}, but the map has {pixels:g} pixels of it"
        for number, said, pixels in zip(known[odd], area[odd], in_map[odd], strict=True)
    ]
    if len(unlisted):
        found.append(f"{name}: ids {listing(unlisted)} are in the map but not in segments_info")
    return found


def semantic_categories(classes: Iterable[str]) -> list[dict]:
    """Categories for label maps: class c is category c, and all are stuff."""
    return [{"id": c, "name": name, "isthing": 0} for c, name in enumerate(classes)]


def _area_and_crowd(segments: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Areas (G,) float64 and whether a segment is a crowd (G,)."""
    wrong: dict[str, list] = {"zero area": [], "no 'area', a number": [], "a strange iscrowd": []}
    for segment in segments:
        area = segment.get("area")
        if not isinstance(area, int | float | np.number) or isinstance(area, bool) or area > 1e18:
            wrong["no 'area', a number"].append(segment["id"])
        elif not area > 0:
            wrong["zero area"].append(segment["id"])
        if not is_flag(segment.get("iscrowd", 0)):
            wrong["a strange iscrowd"].append(segment["id"])
    for what, ids in wrong.items():
        if ids:
            raise ValueError(f"{name}: segments {ids} have {what}")
    areas = np.array([segment["area"] for segment in segments], np.float64)
    return areas, np.array([bool(s.get("iscrowd", 0)) for s in segments], bool)


def _on_last_crowd(
    common: np.ndarray, gt_rows: np.ndarray, crowd: np.ndarray, pred_rows: np.ndarray
) -> np.ndarray:
    """Pixels (P,) of each predicted segment on the crowd of its class.

    Of several crowds of a class the last one listed counts, as officially.
    """
    pixels = np.zeros(len(pred_rows))
    last = {gt_rows[g]: g for g in np.flatnonzero(crowd)}
    for row, g in last.items():
        pixels += common[g] * (pred_rows == row)
    return pixels


def _check_labels(labels: np.ndarray, classes: int, name: str) -> None:
    bad = labels[(labels < 0) | (labels >= classes)]
    if len(bad):
        raise ValueError(
            f"{name}: label values {np.unique(bad).tolist()} are outside the allowed range "
            f"[0, {classes - 1}]"
        )


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
