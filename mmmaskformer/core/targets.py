"""Ground truth to segments: one per class present, or those of a panoptic map (Section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .structures import NO_SEGMENT, SegmentTargets


def segments_from_semantic(
    labels: Tensor,
    num_classes: int,
    ignore_index: int | None = 255,
    names: Sequence[str] | None = None,
    values: Sequence[Sequence[int]] | None = None,
) -> list[SegmentTargets]:
    """Turn label maps into segment targets, checking the label range before any indexing.

    The look-ups run where the labels are. Which labels occur is read from `values`, or found
    there and copied to the host.

    Args:
        labels: (B, H, W) integers in [0, C) or `ignore_index`.
        names: what errors call each image.
        values: the labels that occur in each image, where the caller knows them.

    Raises:
        ValueError: a label outside the range; names the image, the values and the range.
    """
    names = names or image_names(len(labels))
    codes, occurs = label_codes(labels, num_classes, ignore_index, names, values)
    lookup = torch.full(occurs.shape, NO_SEGMENT, dtype=torch.int32)
    present = [torch.nonzero(row[:num_classes]).flatten() for row in occurs]
    for image, classes in enumerate(present):
        lookup[image, classes] = torch.arange(len(classes), dtype=torch.int32)
    segment_maps = lookup.to(labels.device).gather(1, codes.flatten(1)).view_as(codes)
    return [
        SegmentTargets(classes.to(labels.device), segment_map, name)
        for classes, segment_map, name in zip(present, segment_maps, names)
    ]


def segments_from_panoptic(
    segment_map: Tensor,
    labels: Tensor,
    num_classes: int,
    name: str = "image",
    ranges: Sequence[int] | None = None,
) -> SegmentTargets:
    """Segment targets of one panoptic image, with their ranges checked.

    Args:
        segment_map: (H, W) integers in [0, G), the segment that owns a pixel, or `NO_SEGMENT`.
        labels: (G,) integers in [0, C); a segment without pixels keeps its label.
        name: what errors call the image.
        ranges: smallest and largest label and smallest and largest value of the map, where the
            caller knows them (see `panoptic_ranges`); else two flags are copied to the host.

    Raises:
        ValueError: a class or a segment outside its range; names the image, the values and the
            range.
    """
    labels, segment_map, count = labels.long(), segment_map.int(), len(labels)
    if ranges is not None:
        low, high, first, last = ranges
        if low >= 0 and high < num_classes and first >= NO_SEGMENT and last < count:
            return SegmentTargets(labels, segment_map, name)
    bad_label = (labels < 0) | (labels >= num_classes)
    bad_segment = (segment_map < NO_SEGMENT) | (segment_map >= count)
    problems = torch.stack([bad_label.any(), bad_segment.any()]).tolist()
    if problems[0]:
        raise ValueError(
            f"{name}: classes {labels[bad_label].unique().tolist()} of segments are outside the "
            f"allowed range [0, {num_classes - 1}]; check num_classes"
        )
    if problems[1]:
        raise ValueError(
            f"{name}: segment map values {segment_map[bad_segment].unique().tolist()} are outside "
            f"[0, {count - 1}] (no segment: {NO_SEGMENT}) of its {count} segments"
        )
    return SegmentTargets(labels, segment_map, name)


def panoptic_ranges(segment_map: Tensor, labels: Tensor) -> tuple[int, int, int, int]:
    """What `segments_from_panoptic` checks; for tensors on the host."""
    low, high = (int(x) for x in labels.aminmax()) if len(labels) else (0, -1)
    return low, high, int(segment_map.min()), int(segment_map.max())


def label_values(labels: Tensor) -> tuple[int, ...]:
    """The values, none of them negative, of a map of integers on the host."""
    return tuple(torch.nonzero(torch.bincount(labels.flatten().long())).flatten().tolist())


def image_names(count: int) -> list[str]:
    """What errors call the images of a batch that has no file names."""
    return [f"image {i} of the batch" for i in range(count)]


def label_codes(
    labels: Tensor,
    num_classes: int,
    ignore_index: int | None,
    names: Sequence[str] | None = None,
    values: Sequence[Sequence[int]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Label maps with C in place of `ignore_index`, and which labels occur.

    Args:
        labels: (B, H, W) integers in [0, C) or `ignore_index`.
        names: what errors call each image.
        values: the labels that occur in each image, where the caller knows them.

    Returns:
        codes (B, H, W) int64 in [0, C], and a table (B, C + 2) bool on the host.

    Raises:
        ValueError: a label outside the range; names the image, the values and the range.
    """
    if labels.ndim != 3:
        raise ValueError(f"labels must be (B, H, W), got {tuple(labels.shape)}")
    labels = labels.long()  # uint8 can not hold the codes of 255 classes
    in_range = (labels >= 0) & (labels < num_classes)
    # Code C is "ignored", C + 1 "bad".
    codes = torch.where(in_range, labels, num_classes + 1)
    if ignore_index is not None:
        codes = torch.where(labels == ignore_index, num_classes, codes)
    if values is None:
        occurs = torch.zeros(len(labels), num_classes + 2, dtype=torch.bool, device=labels.device)
        occurs = occurs.scatter_(1, codes.flatten(1), True).cpu()
    else:
        occurs = torch.zeros(len(labels), num_classes + 2, dtype=torch.bool)
        for row, found in zip(occurs, values):
            kept = [v for v in found if v != ignore_index]
            row[[v if 0 <= v < num_classes else num_classes + 1 for v in kept]] = True
    names = names or image_names(len(labels))
    for image in torch.nonzero(occurs[:, num_classes + 1]).flatten().tolist():
        bad = labels[image][codes[image] == num_classes + 1]
        raise ValueError(
            f"{names[image]}: label values {bad.unique().tolist()} are outside the allowed range "
            f"[0, {num_classes - 1}] (ignored: {ignore_index}); check num_classes, "
            "reduce_zero_label and ignore_index"
        )
    return codes, occurs
