"""Ground truth to segments: one per class present, or those of a panoptic map (Section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import check_number
from .structures import NO_SEGMENT, SegmentTargets, to_device

MOST_LABELS = 1 << 16
"""Labels below this are counted instead of sorted, which is many times faster."""


def segments_from_semantic(
    labels: Tensor, num_classes: int, ignore_index: int | None = 255, name: str = "image"
) -> SegmentTargets:
    """The segments of a label map, one for each class that is present, in order of the classes.

    On a GPU the device has to be asked which labels occur: do it on the host, before the copy.

    Args:
        labels: (H, W) integers in [0, C) or `ignore_index`, on any device.
        name: what errors call the image.

    Raises:
        ValueError: a label outside the range; names the image, the values and the range.
    """
    if labels.ndim != 2 or labels.is_floating_point():
        raise ValueError(
            f"{name}: expected a label map (H, W) of integers, got {tuple(labels.shape)} of "
            f"{labels.dtype}"
        )
    check_number("num_classes", num_classes, 1, whole=True)
    labels = labels.long()
    values = label_values(labels)
    check_labels(values, num_classes, ignore_index, name)
    present = [value for value in values if value != ignore_index]
    lookup = torch.full((num_classes + 1,), NO_SEGMENT, dtype=torch.int32)
    lookup[present] = torch.arange(len(present), dtype=torch.int32)
    if ignore_index is not None:
        labels = labels.masked_fill(labels == ignore_index, num_classes)
    classes = to_device(torch.tensor(present, dtype=torch.int64), labels.device)
    return SegmentTargets(classes, to_device(lookup, labels.device)[labels], name)


def label_values(labels: Tensor) -> list[int]:
    """The values that occur in a map of integers, in order."""
    if not labels.numel():
        return []
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= MOST_LABELS:
        return labels.unique().tolist()
    return torch.nonzero(torch.bincount(labels.flatten())).flatten().tolist()


def check_labels(
    values: Sequence[int], num_classes: int, ignore_index: int | None, name: str
) -> None:
    """Raise ValueError for labels outside [0, C) that are not ignored."""
    bad = [value for value in values if value != ignore_index and not 0 <= value < num_classes]
    if bad:
        raise ValueError(
            f"{name}: label values {bad} are outside the allowed range [0, {num_classes - 1}] "
            f"(ignored: {ignore_index}); check num_classes, reduce_zero_label and ignore_index"
        )


def segments_from_panoptic(
    segment_map: Tensor, labels: Tensor, num_classes: int, name: str = "image"
) -> SegmentTargets:
    """Segment targets of one panoptic image, with their ranges checked.

    On a GPU the device has to be asked for the ranges: do it on the host, before the copy.

    Args:
        segment_map: (H, W) integers in [0, G), the segment that owns a pixel, or `NO_SEGMENT`.
        labels: (G,) integers in [0, C); a segment without pixels keeps its label.
        name: what errors call the image.

    Raises:
        ValueError: a class or a segment outside its range; names the image, the values and the
            range.
    """
    check_number("num_classes", num_classes, 1, whole=True)
    for what, numbers in (("segment map", segment_map), ("labels", labels)):
        if numbers.is_floating_point() or numbers.dtype == torch.bool:
            raise TypeError(f"{name}: {what} must be integers, got {numbers.dtype}")
    target = SegmentTargets(labels.long(), segment_map.int(), name)
    if not is_legal(target, num_classes):
        check_segments(target, num_classes)
    return target


def is_legal(target: SegmentTargets, num_classes: int) -> Tensor:
    """Whether all labels and segments are in their ranges, a boolean on the target's device."""
    labels, segments = target.labels, target.segment_map
    legal = (labels == labels.clamp(0, num_classes - 1)).all()
    if segments.numel():
        low, high = segments.aminmax()
        legal &= (low >= NO_SEGMENT) & (high < len(labels))
    return legal


def check_segments(target: SegmentTargets, num_classes: int) -> None:
    """Raise ValueError for a class or a segment outside its range; a GPU is waited for."""
    labels, segments, name = target.labels, target.segment_map, target.name
    bad = labels[(labels < 0) | (labels >= num_classes)].unique().tolist()
    if bad:
        raise ValueError(
            f"{name}: classes {bad} of segments are outside the allowed range "
            f"[0, {num_classes - 1}]; check num_classes"
        )
    bad = segments[(segments < NO_SEGMENT) | (segments >= len(labels))].unique().tolist()
    if bad:
        raise ValueError(
            f"{name}: segment map values {bad} are outside [0, {len(labels) - 1}] (no segment: "
            f"{NO_SEGMENT}) of its {len(labels)} segments"
        )


def pad_segments(target: SegmentTargets, size: Sequence[int]) -> SegmentTargets:
    """The targets of an image that is padded, right and bottom, to `size` = (H, W); padding
    belongs to no segment."""
    height, width = target.segment_map.shape
    padding = (0, size[1] - width, 0, size[0] - height)
    return replace(target, segment_map=F.pad(target.segment_map, padding, value=NO_SEGMENT))


def class_map(target: SegmentTargets, no_class: int) -> Tensor:
    """The class of every pixel, (H, W) int64; `no_class` where no segment owns it."""
    classes = torch.cat([target.labels, target.labels.new_full((1,), no_class)])
    return classes[target.segment_map.long()]  # NO_SEGMENT takes the last one
