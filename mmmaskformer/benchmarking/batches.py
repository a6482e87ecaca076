"""Generated images and label maps, as samples that every mmseg model trains on and predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import PixelData
from scipy.spatial import KDTree
from torch import Tensor

SHAPE_KEYS = ("img_shape", "ori_shape", "pad_shape", "batch_input_shape")


def voronoi_labels(size: Sequence[int], classes: Sequence[int], rng: np.random.Generator) -> Tensor:
    """A label map (H, W) int64 of one random cell per class."""
    points = rng.uniform((0, 0), size, (len(classes), 2))
    pixels = np.moveaxis(np.indices(size), 0, -1)
    return torch.from_numpy(np.asarray(classes)[KDTree(points).query(pixels)[1]])


def make_batch(
    size: Sequence[int], batch: int, segments: int, num_classes: int, device: str
) -> tuple[Tensor, list]:
    """Normalised images (B, 3, H, W) and their samples, the same at every call.

    Args:
        size: H, W.
        segments: classes in each label map, of `num_classes`.
    """
    from mmseg.structures import SegDataSample

    if not 0 < segments <= num_classes:
        raise ValueError(
            f"segments must be 1..{num_classes}, the number of classes, got {segments}"
        )
    rng = np.random.default_rng(segments)
    samples = []
    for _ in range(batch):
        labels = voronoi_labels(size, rng.permutation(num_classes)[:segments], rng)
        meta = dict.fromkeys(SHAPE_KEYS, tuple(size))
        sample = SegDataSample(metainfo={**meta, "img_path": "generated"})
        sample.gt_sem_seg = PixelData(data=labels[None])
        samples.append(sample.to(device))
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(segments))
    return images.to(device), samples
