"""Generated images and label maps, as samples that models of mmseg, or panoptic ones of mmdet,
train on and predict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from scipy.spatial import KDTree
from torch import Tensor

SHAPE_KEYS = ("img_shape", "ori_shape", "pad_shape", "batch_input_shape")


def voronoi_labels(size: Sequence[int], classes: Sequence[int], rng: np.random.Generator) -> Tensor:
    """A label map (H, W) int64 of one random cell per class."""
    points = rng.uniform((0, 0), size, (len(classes), 2))
    pixels = np.moveaxis(np.indices(size), 0, -1)
    return torch.from_numpy(np.asarray(classes)[KDTree(points).query(pixels)[1]])


def choose_classes(
    segments: int, num_classes: int, isthing: Sequence[bool] | None, rng: np.random.Generator
) -> np.ndarray:
    """Different classes; with `isthing` half of them things, as far as there are enough."""
    shuffled = rng.permutation(num_classes)
    if isthing is None:
        return shuffled[:segments]
    flags = np.asarray(isthing)[shuffled]
    things, stuff = shuffled[flags], shuffled[~flags]
    count = min(len(things), max(segments // 2, segments - len(stuff)))
    return np.concatenate([things[:count], stuff[: segments - count]])


def make_batch(
    size: Sequence[int],
    batch: int,
    segments: int,
    num_classes: int,
    device: str,
    isthing: Sequence[bool] | None = None,
) -> tuple[Tensor, list]:
    """Normalised images (B, 3, H, W) and their samples, the same at every call.

    Args:
        size: H, W.
        segments: classes in each label map, of `num_classes`.
        isthing: whether each class is a thing, for samples of mmdet; None: samples of mmseg.
    """
    if not 0 < segments <= num_classes:
        raise ValueError(
            f"segments must be 1..{num_classes}, the number of classes, got {segments}"
        )
    rng = np.random.default_rng(segments)
    samples = []
    for _ in range(batch):
        classes = choose_classes(segments, num_classes, isthing, rng)
        labels = voronoi_labels(size, classes, rng)
        sample = semantic_sample(labels) if isthing is None else panoptic_sample(labels, isthing)
        sample.set_metainfo({**dict.fromkeys(SHAPE_KEYS, tuple(size)), "img_path": "generated"})
        samples.append(sample.to(device))
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(segments))
    return images.to(device), samples


def semantic_sample(labels: Tensor) -> BaseDataElement:
    """mmseg's sample of a label map (H, W)."""
    from mmseg.structures import SegDataSample

    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=labels[None])
    return sample


def panoptic_sample(labels: Tensor, isthing: Sequence[bool]) -> BaseDataElement:
    """mmdet's sample of a label map (H, W) whose every class is one segment: what its own
    pipeline packs, things as masks on the host and classes per pixel, and what ours does."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    classes, segment_map = labels.unique(return_inverse=True)
    things = classes[torch.tensor(isthing)[classes]]
    masks = BitmapMasks((labels == things[:, None, None]).numpy().astype(np.uint8), *labels.shape)
    sample = DetDataSample(metainfo={"scale_factor": (1.0, 1.0)})
    boxes = masks.get_bboxes(dst_type="hbox").tensor
    sample.gt_instances = InstanceData(bboxes=boxes, labels=things, masks=masks)
    sample.gt_sem_seg = PixelData(sem_seg=labels[None])
    sample.panoptic_truth = BaseDataElement(segment_map=segment_map[None].int(), labels=classes)
    return sample
