"""Predictions of which everything is known: their factors say exactly what a map says."""

from types import SimpleNamespace

import numpy as np
import torch

from mmmaskformer.core import InstanceFusion, PanopticFusion, SemanticFusion
from mmmaskformer.core.view_merging import merge_views
from mmmaskformer.core.views import View
from mmmaskformer.inference import Prediction

META = dict(
    classes=["cat", "dog", "sky", "grass"],
    palette=[[200, 40, 40], [40, 60, 200], [110, 170, 230], [40, 160, 60]],
    isthing=[True, True, False, False],
    category_ids=[17, 18, 187, 193],
)
IDS = np.zeros((60, 80), np.int64)
IDS[:30] = 1  # sky
IDS[30:] = 2  # grass
IDS[20:50, 10:30] = 3  # cat
IDS[25:45, 40:60] = 4  # cat
IDS[30:40, 45:50] = 2  # grass, seen through a hole in it
LABELS = {1: 2, 2: 3, 3: 0, 4: 0}
SCORES = {1: 0.99, 2: 0.95, 3: 0.9, 4: 0.85}


def view_of(ids, labels, scores, classes):
    """A query for each segment, sure of its mask; the rest of its probability is "no object"."""
    class_prob = torch.zeros(len(labels), classes + 1)
    masks = torch.stack([torch.from_numpy(ids == segment) for segment in labels])
    for query, segment in enumerate(labels):
        class_prob[query, labels[segment]] = scores[segment]
        class_prob[query, -1] = 1 - scores[segment]
    return View(class_prob, torch.where(masks, 20.0, -20.0), ids.shape, ids.shape)


def image(shape=IDS.shape, value=100):
    return np.full((*shape, 3), value, np.uint8)


def predicted(name="street.jpg", *, panoptic=True, meta=META, **options):
    """The prediction of `IDS`."""
    head = SimpleNamespace(fusion=SemanticFusion(), merge=merge_views)
    if panoptic:
        head.panoptic_fusion = PanopticFusion(meta["isthing"])
        head.instance_fusion = InstanceFusion(meta["isthing"])
    view = view_of(IDS, LABELS, SCORES, len(meta["classes"]))
    return Prediction(options.pop("image", image()), str(name), head, [view], meta, **options)
