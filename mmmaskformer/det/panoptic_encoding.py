"""mmdet's encoding of a panoptic map: class + 1000 * instance per pixel, void above the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..core import NO_SEGMENT


def encode_segments(segment_map: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """A map of segments to mmdet's encoding.

    Args:
        segment_map: integers in [0, G), the segment that owns a pixel, or `NO_SEGMENT`.
        labels: (G,) classes.
        num_classes: mmdet's code for void.

    Returns:
        int32, of the map's shape; instances are numbered from 1 over all classes.
    """
    instances = torch.arange(1, len(labels) + 1, device=labels.device)
    codes = torch.cat([labels + INSTANCE_OFFSET * instances, labels.new_full((1,), num_classes)])
    return codes.int()[segment_map.long()]  # NO_SEGMENT takes the last one


def decode_segments(encoded: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """mmdet's encoding to a map of segments, `NO_SEGMENT` where the class is not in [0, C), and
    their classes (G,) int64, in the order of their codes."""
    codes, index = encoded.unique(return_inverse=True)
    labels = codes.long() % INSTANCE_OFFSET
    valid = labels < num_classes
    number = torch.where(valid, valid.long().cumsum(0) - 1, NO_SEGMENT)
    return number[index].int(), labels[valid]


def add_panoptic_truth(samples: Sequence[DetDataSample], num_classes: int) -> None:
    """Give samples that have only mmdet's `gt_panoptic_seg` the `panoptic_truth` that it says."""
    for sample in samples:
        if "panoptic_truth" not in sample and "gt_panoptic_seg" in sample:
            encoded = torch.as_tensor(sample.gt_panoptic_seg.sem_seg)
            segment_map, labels = decode_segments(encoded, num_classes)
            sample.panoptic_truth = BaseDataElement(segment_map=segment_map, labels=labels)
