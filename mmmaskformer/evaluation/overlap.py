"""How many pixels the segments of two maps share, from runs of pixels that are alike in both.

Letters: H, W image; R runs; G ground-truth and P predicted segments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

VOID = 0
"""Id of pixels that belong to no segment."""


class Overlap(NamedTuple):
    """Pixels of one image, in float64.

    Attributes:
        common: (G, P), shared by each pair of segments.
        on_void: (P,), of each predicted segment on ground-truth void.
        area: (P,), of each predicted segment.
        gt_area: (G,), of each ground-truth segment.
        unlisted: ids, ascending, of the ground-truth map that belong to none of its segments.
    """

    common: np.ndarray
    on_void: np.ndarray
    area: np.ndarray
    gt_area: np.ndarray
    unlisted: np.ndarray


def check_maps(gt: np.ndarray, pred: np.ndarray, gt_name: str, pred_name: str) -> None:
    """Two (H, W) maps of integers of the same size, or ValueError / TypeError."""
    for array, name in ((gt, gt_name), (pred, pred_name)):
        if array.ndim != 2 or not array.size:
            raise ValueError(f"{name}: expected a map (H, W), got shape {array.shape}")
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name}: expected a map of integers, got {array.dtype}")
    if gt.shape != pred.shape:
        raise ValueError(
            f"{pred_name} is {pred.shape[0]}x{pred.shape[1]} (height x width), but {gt_name} is "
            f"{gt.shape[0]}x{gt.shape[1]}"
        )


def joint_runs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two (H, W) maps as runs in reading order: values of `a` (R,), of `b` (R,), lengths (R,).

    Maps of segments change at a few per cent of the pixels only, and everything after this looks
    at runs.
    """
    a, b = a.ravel(), b.ravel()
    starts = np.ones(a.size, bool)
    np.not_equal(a[1:], a[:-1], out=starts[1:])
    starts[1:] |= b[1:] != b[:-1]
    index = np.flatnonzero(starts)
    lengths = np.empty_like(index)
    np.subtract(index[1:], index[:-1], out=lengths[:-1])
    lengths[-1] = a.size - index[-1]
    return a.take(index), b.take(index), lengths


def overlap(
    gt_ids: np.ndarray,
    gt_known: np.ndarray,
    pred_ids: np.ndarray,
    pred_known: np.ndarray,
    pred_name: str,
) -> Overlap:
    """Shared pixels of the segments `gt_known` (G,) and `pred_known` (P,), int64, in two maps.

    Raises:
        ValueError: the ids in the predicted map and `pred_known` are not the same.
    """
    gt, pred, lengths = joint_runs(gt_ids, pred_ids)
    row, gt_unknown, gt_at = _look_up(gt, gt_known)
    column, pred_unknown, pred_at = _look_up(pred, pred_known)
    if pred_unknown.any():
        extra = np.unique(pred[pred_unknown]).tolist()
        raise ValueError(f"{pred_name}: ids {extra} are in the map but not in segments_info")
    # A row and a column for each segment and for void; ids unknown to the truth in a last row.
    shape = (len(gt_known) + 2, len(pred_known) + 1)
    unlisted = np.unique(gt[gt_unknown])
    if len(unlisted):
        row[gt_unknown] = shape[0] - 1
    row *= shape[1]
    row += column
    table = np.bincount(row, lengths, shape[0] * shape[1]).reshape(shape)
    gt_area = table[gt_at[1:]].sum(1)
    table = table[:, pred_at[1:]]
    area = table.sum(0)
    if not area.all():
        empty = pred_known[area == 0].tolist()
        raise ValueError(f"{pred_name}: ids {empty} are in segments_info but have no pixels")
    return Overlap(table[gt_at[1:]], table[gt_at[0]], area, gt_area, unlisted)


def _look_up(ids: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place (R,) of each id in the sorted list of void and `known`; whether it is not there at
    all (R,); place of void and of each known id (N + 1,).
    """
    entries, ids = np.concatenate(([VOID], known)), ids.astype(np.int64)
    ordered = np.sort(entries)
    # The last entry that is not larger: never past the end.
    place = np.searchsorted(ordered[1:], ids, "right")
    return place, ordered[place] != ids, np.searchsorted(ordered, entries)
