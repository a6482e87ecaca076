"""Mask losses of matched masks: ours, at every pixel, and those of mmdet's Mask2Former, which
samples points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.hub import get_config
from torch import Tensor, nn

from mmmaskformer.core import DiceLoss, FocalLoss, SegmentTargets
from mmmaskformer.core.kernels import knows
from mmmaskformer.core.mask_loss import chunked_mask_loss

from . import models
from .batches import voronoi_labels
from .measure import in_fresh_process, peak_growth_mb, take_turns

CONFIG = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py"


@dataclass(frozen=True)
class Problem:
    """Matched masks of generated images; query g of every image and layer is matched with
    segment g.

    Attributes:
        size: H, W of the images, multiples of 4.
        segments: of every image.
        batch, layers: numbers of images and of decoder layers.
        queries: mask logits of every image and layer.
    """

    size: tuple[int, int]
    segments: int
    batch: int
    layers: int
    queries: int = 100

    def logits(self, device: str) -> Tensor:
        """(L, B, Q, H / 4, W / 4), a leaf that wants a gradient."""
        grid = [side // 4 for side in self.size]
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(self.layers, self.batch, self.queries, *grid, generator=generator)
        return logits.to(device).requires_grad_()

    def targets(self, device: str) -> list[SegmentTargets]:
        """Of every image: segments of different forms, one for each class."""
        rng, classes = np.random.default_rng(0), torch.arange(self.segments)
        maps = [voronoi_labels(self.size, classes.numpy(), rng).int() for _ in range(self.batch)]
        return [SegmentTargets(classes, one).to(torch.device(device)) for one in maps]


def exact(problem: Problem, device: str, kernel: str = "auto") -> Callable[[], Tensor]:
    """Our losses of all layers at every pixel and their gradient by the logits, which the
    function returns."""
    logits, targets = problem.logits(device), problem.targets(device)
    maps = torch.stack([target.segment_map for target in targets])
    shape = problem.layers, problem.batch, problem.segments
    _, image, segment = torch.ones(shape, device=device).nonzero().unbind(1)
    losses = FocalLoss(), DiceLoss()

    def run() -> Tensor:
        matched = logits[:, :, : problem.segments].flatten(0, 2)
        focal, dice = chunked_mask_loss(matched, maps, image, segment, losses, kernel=kernel)
        total = (20 * focal.sum() + dice.sum()) / (problem.batch * problem.segments)
        return torch.autograd.grad(total, logits)[0]

    return run


class _NoLoss(nn.Module):
    def forward(self, scores: Tensor, *args, **kwargs) -> Tensor:
        return scores.new_zeros(())


def sampled_head(problem: Problem, targets: list[SegmentTargets]) -> nn.Module:
    """mmdet's head, which takes the matches as they are and computes no loss of classes."""
    models.register("mmdet")
    from mmengine.registry import MODELS, DefaultScope

    cfg = get_config(CONFIG).model
    with DefaultScope.overwrite_default_scope("mmdet"):
        settings = dict(train_cfg=cfg.train_cfg, test_cfg=cfg.test_cfg)
        head = MODELS.build({**cfg.panoptic_head, **settings})
    head.loss_cls = _NoLoss()
    # int64, as its own preparation makes them.
    masks = [target.masks().long() for target in targets]
    labels = [target.labels.new_zeros(problem.queries) for target in targets]
    matched = [(torch.arange(problem.queries, device=x.device) < problem.segments) for x in labels]
    weights = [which.float() for which in matched]
    count = problem.batch * problem.segments
    head.get_targets = lambda *_: (labels, labels, masks, weights, count)
    return head


def sampled(problem: Problem, device: str) -> Callable[[], Tensor]:
    """As `exact`, with the losses of mmdet's Mask2Former at the points that it samples."""
    logits, targets = problem.logits(device), problem.targets(device)
    head = sampled_head(problem, targets)
    scores = logits.new_zeros(problem.batch, problem.queries, head.num_classes + 1)

    def run() -> Tensor:
        layers = [head._loss_by_feat_single(scores, layer, [], []) for layer in logits]
        total = sum(mask + dice for _, mask, dice in layers)
        return torch.autograd.grad(total, logits)[0]

    return run


WAYS = {"sampled (mmdet)": sampled, "exact": exact}


def ways_of(device: str) -> dict[str, Callable]:
    """{name: way}; on a GPU also the exact one without the Triton kernels."""
    ways = dict(WAYS)
    if knows(torch.empty(0, device=device), (FocalLoss(), DiceLoss())):
        ways["exact, eager"] = lambda problem, device: exact(problem, device, "eager")
    return ways


def growth(way: str, problem: Problem, device: str) -> float:
    """Growth of memory by one call, in MB; for a process of its own."""
    return peak_growth_mb(ways_of(device)[way](problem, device), device)


def compare(problem: Problem, repeats: int, warmup: int, device: str) -> dict[str, dict]:
    """{way: {seconds, memory_mb}}."""
    functions = {name: way(problem, device) for name, way in ways_of(device).items()}
    title = f"{problem.segments} segments, {'x'.join(map(str, problem.size))}"
    times = take_turns(functions, repeats, warmup, device=device, title=title)
    del functions
    return {
        name: {
            "seconds": seconds,
            "memory_mb": in_fresh_process(growth, name, problem, device),
        }
        for name, seconds in times.items()
    }
