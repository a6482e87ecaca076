"""The images on which trained models did best and worst, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mmmaskformer.engine.runner import read_config
from mmmaskformer.evaluation.semantic_metrics import IoUMetric
from mmmaskformer.utils.files import png_name
from mmmaskformer.visualization import label_panels

if TYPE_CHECKING:
    from mmseg.datasets import BaseSegDataset


def mean_iou(prediction: np.ndarray, truth: np.ndarray, dataset: BaseSegDataset) -> float:
    """The mean, over the classes of the ground truth, of a class's intersection over union.

    Args:
        prediction, truth: labels (H, W).
        dataset: whose classes they are, and which label it ignores.
    """
    maps = (torch.from_numpy(labels.astype(np.int64)) for labels in (prediction, truth))
    classes, ignored = len(dataset.metainfo["classes"]), dataset.ignore_index
    intersection, union, _, labelled = IoUMetric.intersect_and_union(*maps, classes, ignored)
    return float((intersection / union)[labelled > 0].mean())


def choose(scores: Sequence[float], count: int) -> list[int]:
    """Indices of the best, the middle and the worst scores, `count` of each, best first."""
    order = [int(i) for i in np.argsort(scores)[::-1] if np.isfinite(scores[i])]
    middle = max(0, (len(order) - count) // 2)
    groups = (order[:count], order[middle : middle + count], order[-count:])
    return list(dict.fromkeys(index for group in groups for index in group))


def draw(config: Path, predictions: Mapping[str, Path], path: Path, count: int = 2) -> None:
    """Write ground truth and predictions; the first model's scores choose the images, which are
    named but not shown: not every licence allows one to pass them on.

    Args:
        config: whose test split it is.
        predictions: title -> the folder that `tools/test.py --out` wrote.
    """
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    register_all_modules()
    dataset = DATASETS.build(read_config(config).test_dataloader.dataset)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    names = [png_name(info["img_path"]) for info in infos]
    truths = [read_labels(info["seg_map_path"]) for info in infos]
    first = next(iter(predictions.values()))
    scores = [
        mean_iou(read_labels(first / name), truth, dataset)
        for name, truth in zip(names, truths, strict=True)
    ]
    chosen = choose(scores, count)
    columns = {"ground truth": [truths[i] for i in chosen]}
    for title, folder in predictions.items():
        columns[title] = [read_labels(folder / names[i]) for i in chosen]
    classes, palette = dataset.metainfo["classes"], dataset.metainfo["palette"]
    rows = [f"{Path(names[i]).stem}: {100 * scores[i]:.0f} mIoU" for i in chosen]
    label_panels(path, columns, classes, palette, rows)


def read_labels(path: str | Path) -> np.ndarray:
    """A label map (H, W); FileNotFoundError, which names it, if there is none."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise FileNotFoundError(f"{path} is no label map; wanted what testing with --out wrote")
    return labels
