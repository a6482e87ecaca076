"""Bipartite matching of queries and ground-truth segments (paper, Section 3.3).

Segments are disjoint, so one one-hot (P, G) table of the ground truth at stride 4 turns every
mask cost into matrix products, for all queries of all decoder layers at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from .checks import check_number, check_part
from .folded_masks import pixel_embedding
from .structures import FactoredOutput, PixelFeatures, SegmentTargets, to_device
from .targets import check_segments, is_legal
from .tuning import MATCHING_COSTS, chunks


class NonFiniteCostError(FloatingPointError):
    """A matching cost is NaN or infinite: training has diverged, or the input was not finite."""


@dataclass(frozen=True)
class Candidates:
    """Some queries of one image (R rows, of any layers) and what a cost may need of them.

    Attributes:
        class_prob: (R, C + 1).
        logits, prob: (R, P) mask logits on the mask grid, and their sigmoid.
        labels: (G,) ground-truth classes.
        one_hot: (P, G) float, the ground truth on the mask grid.
    """

    class_prob: Tensor
    logits: Tensor
    prob: Tensor
    labels: Tensor
    one_hot: Tensor


class ClassificationCost:
    """Minus the probability of the segment's class."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = check_number("ClassificationCost.weight", weight)

    def __call__(self, candidates: Candidates) -> Tensor:
        return -candidates.class_prob[:, candidates.labels]


class FocalCost:
    """Focal loss of the mask, mean over the mask grid; `alpha` and `gamma` as in `FocalLoss`."""

    def __init__(self, weight: float = 20.0, *, alpha: float = 0.25, gamma: float = 2.0) -> None:
        self.weight = check_number("FocalCost.weight", weight)
        self.alpha = check_number("FocalCost.alpha", alpha, -math.inf, 1)
        self.gamma = check_number("FocalCost.gamma", gamma)

    def __call__(self, candidates: Candidates) -> Tensor:
        logits, prob = candidates.logits, candidates.prob
        softplus = F.softplus(logits)
        negative = (prob**self.gamma).mul_(softplus)
        positive = (1 - prob).pow_(self.gamma).mul_(softplus.sub_(logits))
        if self.alpha >= 0:
            negative *= 1 - self.alpha
            positive *= self.alpha
        total_negative = negative.sum(1, keepdim=True)
        cost = torch.addmm(total_negative, positive.sub_(negative), candidates.one_hot)
        return cost.div_(logits.shape[1])


class DiceCost:
    """Dice loss of the mask on the mask grid."""

    def __init__(self, weight: float = 1.0, *, smooth: float = 1.0) -> None:
        self.weight = check_number("DiceCost.weight", weight)
        self.smooth = check_number("DiceCost.smooth", smooth)

    def __call__(self, candidates: Candidates) -> Tensor:
        prob, one_hot = candidates.prob, candidates.one_hot
        overlap = 2 * (prob @ one_hot) + self.smooth
        return 1 - overlap / (prob.sum(1, keepdim=True) + one_hot.sum(0) + self.smooth)


@dataclass(frozen=True)
class Matches:
    """N matched pairs of all decoder layers and images.

    Attributes:
        layer, image, query, segment: (N,) int64 on the output's device; sorted by image, then
            layer, then query.
        per_image: B numbers of pairs, known on the host.
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    segment: Tensor
    per_image: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.layer)


Assigner = Callable[[FactoredOutput, Sequence[SegmentTargets]], Matches]
"""What pairs the queries of a batch with the segments of its images (one target per image)."""


class HungarianAssigner:
    """The cheapest one-to-one matching, for every decoder layer and image on its own.

    Costs of the whole batch are copied to the host once and solved there by scipy.

    Args:
        match_costs: the costs to add up, each with a `weight`; default: class 1, focal 20,
            dice 1.
    """

    def __init__(self, match_costs: Sequence | None = None) -> None:
        if match_costs is not None and not match_costs:
            raise ValueError("match_costs must not be empty")
        self.match_costs: list[Any] = (
            list(match_costs)
            if match_costs is not None
            else [ClassificationCost(), FocalCost(), DiceCost()]
        )
        for cost in self.match_costs:
            check_cost(cost)

    @torch.no_grad()
    def __call__(self, output: FactoredOutput, targets: Sequence[SegmentTargets]) -> Matches:
        """Match the queries of every layer with the segments of `targets` (one per image).

        Raises:
            NonFiniteCostError: names the image, the layer and the cost.
            ValueError: a label or a segment outside its range; names the image and the range.
        """
        check_number_of_targets(output, targets)
        layers, batch, queries = output.class_logits.shape[:3]
        output = replace(output, pixels=PixelFeatures(pixel_embedding(output.pixels)))
        costs = [self.costs(output, image, target) for image, target in enumerate(targets)]
        finite = output.class_logits.isfinite().flatten(2).all(2).T.flatten()
        legal = torch.stack([is_legal(target, output.num_classes) for target in targets])
        # The only copy to the host.
        parts = [finite.float(), legal.float(), *(cost.flatten() for cost in costs)]
        finite, legal, *host = torch.cat(parts).cpu().split([part.numel() for part in parts])
        rows = []
        for image, target in enumerate(targets):
            if not legal[image]:
                check_segments(target, output.num_classes)
            cost = host[image].view(layers, queries, target.num_segments)
            for layer in torch.nonzero(finite.view(batch, layers)[image] == 0).flatten().tolist():
                raise NonFiniteCostError(
                    f"{target.name}: non-finite class logits in decoder layer {layer} "
                    "(ClassificationCost)"
                )
            if not torch.isfinite(cost).all():
                self._explain_non_finite(output, image, target, cost)
            rows.append(assign(cost, image))
        return joined(rows, output.device)

    def costs(
        self,
        output: FactoredOutput,
        image: int,
        target: SegmentTargets,
        match_costs: Sequence | None = None,
    ) -> Tensor:
        """Weighted total cost of one image, (L, Q, G) float32."""
        layers, _, queries = output.class_logits.shape[:3]
        cost = torch.zeros((layers * queries, target.num_segments), device=output.device)
        with torch.autocast(output.device.type, enabled=False):
            dense = pixel_embedding(output.pixels)[image].float()
            one_hot = one_hot_segments(target, dense.shape[-2:])
            class_prob = output.class_logits[:, image].float().softmax(-1).flatten(0, 1)
            embed = output.mask_embed[:, image].float().flatten(0, 1)
            # Labels outside the range are refused once they are on the host.
            labels = target.labels.clamp(0, output.num_classes - 1)
            count = len(embed) if target.num_segments else 0
            for rows in chunks(count, len(one_hot), output.device, MATCHING_COSTS):
                logits = embed[rows] @ dense.flatten(1)
                candidates = Candidates(class_prob[rows], logits, logits.sigmoid(), labels, one_hot)
                for match_cost in match_costs or self.match_costs:
                    cost[rows].add_(match_cost(candidates), alpha=match_cost.weight)
        return cost.view(layers, queries, target.num_segments)

    def _explain_non_finite(
        self, output: FactoredOutput, image: int, target: SegmentTargets, cost: Tensor
    ) -> None:
        layer = int(torch.nonzero(~torch.isfinite(cost))[0, 0])
        names = [
            type(match_cost).__name__
            for match_cost in self.match_costs
            if not self.costs(output, image, target, [match_cost])[layer].isfinite().all()
        ]
        raise NonFiniteCostError(
            f"{target.name}: non-finite matching cost in decoder layer {layer} "
            f"({', '.join(names) or 'sum of costs'})"
        )


def check_cost(cost: Any) -> None:
    """Raise ValueError or TypeError for a cost without a weight, or with another interface."""
    check_number(f"match_costs: weight of {type(cost).__name__}", getattr(cost, "weight", None))
    if not isinstance(cost, ClassificationCost | FocalCost | DiceCost):
        half = torch.full((1, 2), 0.5)
        labels, one_hot = torch.zeros(1, dtype=torch.int64), torch.eye(2)[:, :1]
        check_part("match_costs", cost, [Candidates(half, half, half, labels, one_hot)], (1, 1))


def assign(cost: Tensor, image: int) -> Tensor:
    """The cheapest pairs of every layer of one image, from costs (L, Q, G) on the host.

    Returns:
        (4, N) int64: layer, image, query and segment of every pair.
    """
    pairs = []
    for layer, table in enumerate(cost):
        query, segment = map(torch.from_numpy, linear_sum_assignment(table.numpy()))
        where = [torch.full_like(query, layer), torch.full_like(query, image)]
        pairs.append(torch.stack([*where, query, segment]))
    return torch.cat(pairs, 1)


def joined(rows: Sequence[Tensor], device: torch.device) -> Matches:
    """The matches of a batch; `rows` are those of `assign`, one table for each image."""
    layer, image, query, segment = to_device(torch.cat(list(rows), 1), device)
    return Matches(layer, image, query, segment, tuple(pairs.shape[1] for pairs in rows))


def check_number_of_targets(output: FactoredOutput, targets: Sequence[SegmentTargets]) -> None:
    """Raise ValueError where there is not one target for each image."""
    if len(targets) != output.batch_size:
        raise ValueError(f"{len(targets)} targets for {output.batch_size} images")


def one_hot_segments(target: SegmentTargets, grid: Sequence[int]) -> Tensor:
    """Ground truth on the mask grid by nearest (floor) index, (h * w, G) float32."""
    reduced = F.interpolate(
        target.segment_map[None, None].float(), size=tuple(grid), mode="nearest"
    )
    index = torch.arange(target.num_segments, device=reduced.device)
    # (G, h * w) in memory: products with it are twice as fast that way.
    return (index[:, None] == reduced.view(1, -1)).float().T
