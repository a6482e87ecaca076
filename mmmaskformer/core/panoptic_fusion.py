"""Panoptic and instance inference from factored outputs (paper, Section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .checks import check_number, read_flags
from .fusion import confident_queries, row_bands
from .structures import to_device
from .views import View, all_finite, output_maps, refuse_unless


@dataclass(frozen=True)
class PanopticResult:
    """Disjoint segments of one image.

    Attributes:
        ids: (H, W) int32, 0 is void; segments are numbered from 1 in the order of the queries.
        segments_info: one dict per segment, `id`, `category_id`, `isthing`, `score`, `area`.
    """

    ids: Tensor
    segments_info: list[dict]


class PanopticFusion:
    """Panoptic inference: every pixel goes to the confident query with the largest class
    probability times mask probability; queries that lose too much of their mask are dropped,
    and segments of one stuff class merged. Dropped pixels stay void.

    Args:
        isthing: for each of the C classes whether it is a thing.
        object_threshold: least class probability of a query (COCO 0.8, ADE20K 0.7).
        overlap_threshold: least share of its own mask, where its probability is at least 0.5,
            that a query must win.
    """

    queries_compete = False  # as in `BandedFusion`

    def __init__(
        self,
        isthing: Sequence[bool],
        *,
        object_threshold: float = 0.8,
        overlap_threshold: float = 0.8,
    ) -> None:
        self.isthing = read_flags(isthing)
        self.object_threshold = check_number("object_threshold", object_threshold, 0, 1)
        self.overlap_threshold = check_number("overlap_threshold", overlap_threshold, 0, 1)

    def __call__(self, view: View, size: Sequence[int]) -> PanopticResult:
        """The segments of an image at `size` = (H, W)."""
        check_flags(self.isthing, view)
        confident = confident_queries(view, self.object_threshold)
        owner, own, won = self.compete(confident.view, confident.scores, size)
        # K numbers each in one copy to the host; float64 has all of them exactly.
        columns = (own, won, confident.labels, confident.scores)
        *counts, scores = torch.stack([column.double() for column in columns]).tolist()
        table = [tuple(map(int, row)) for row in zip(*counts, strict=True)]
        numbers, segments = self.number(table, scores)
        lookup = to_device(torch.tensor([*numbers, 0], dtype=torch.int32), owner.device)
        return PanopticResult(lookup[owner], segments)

    def compete(self, view: View, scores: Tensor, size: Sequence[int]) -> tuple[Tensor, ...]:
        """Who wins which pixel, in bands of rows.

        Returns:
            owner (H, W) int64, a query in [0, K), K without any query; own (K,) int64, pixels
            where a query's mask probability is at least 0.5; won (K,) int64, pixels it won.
        """
        queries = len(scores)
        own = torch.zeros(queries, dtype=torch.int64, device=scores.device)
        if queries == 0:
            owner = own.new_zeros(tuple(size))
            return owner, own, own
        owner = own.new_empty(tuple(size))
        for rows in row_bands([view], size):
            prob = output_maps(view, size, rows).sigmoid()
            own += (prob >= 0.5).sum((1, 2))
            owner[rows] = (prob * scores[:, None, None]).argmax(0)
        # What torch.bincount counts, after it has waited for a GPU.
        pixels = owner.flatten()
        won = torch.zeros_like(own).scatter_add_(0, pixels, own.new_ones(()).expand_as(pixels))
        return owner, own, won

    def number(
        self, table: Sequence[Sequence[int]], scores: Sequence[float]
    ) -> tuple[list[int], list[dict]]:
        """The segment number of every query, 0 for void, and the segments."""
        numbers: list[int] = []
        segments: list[dict] = []
        stuff: dict[int, dict] = {}
        for (own, won, label), score in zip(table, scores, strict=True):
            if own == 0 or won == 0 or won / own < self.overlap_threshold:
                numbers.append(0)
                continue
            if label in stuff:
                segment = stuff[label]
                segment["area"] += won
                segment["score"] = max(segment["score"], score)
            else:
                segment = dict(
                    id=len(segments) + 1,
                    category_id=label,
                    isthing=self.isthing[label],
                    score=score,
                    area=won,
                )
                segments.append(segment)
                if not self.isthing[label]:
                    stuff[label] = segment
            numbers.append(segment["id"])
        return numbers, segments


def check_flags(isthing: Sequence[bool], view: View) -> None:
    """Raise ValueError unless there is a flag for each of the view's classes."""
    classes = view.class_prob.shape[1] - 1
    if len(isthing) != classes:
        raise ValueError(
            f"the model has {classes} classes, but isthing is given for {len(isthing)}"
        )


@dataclass(frozen=True)
class InstanceResult:
    """Instances of one image, best first; their masks may overlap.

    Attributes:
        labels: (N,) int64.
        scores: (N,) class probability times the mean mask probability inside the mask.
        masks: (N, H, W) bool.
    """

    labels: Tensor
    scores: Tensor
    masks: Tensor


class InstanceFusion:
    """Instance inference: the best (query, thing class) pairs, each with the query's mask.

    Args:
        isthing: for each of the C classes whether it is a thing.
        max_per_image: number of pairs.
        score_threshold: pairs with a class probability up to this are left out.
    """

    def __init__(
        self, isthing: Sequence[bool], *, max_per_image: int = 100, score_threshold: float = 0.0
    ) -> None:
        self.isthing = read_flags(isthing)
        self.max_per_image = check_number("max_per_image", max_per_image, 1, whole=True)
        self.score_threshold = check_number("score_threshold", score_threshold, 0, 1)

    def __call__(self, view: View, size: Sequence[int]) -> InstanceResult:
        """The instances of an image at `size` = (H, W)."""
        prob = view.class_prob[:, :-1]
        check_flags(self.isthing, view)
        thing = to_device(torch.tensor(self.isthing), prob.device)
        prob = prob.masked_fill(~thing, -1.0)
        scores, pairs = prob.flatten().topk(min(self.max_per_image, prob.numel()))
        sure = (scores > max(self.score_threshold, -0.5)).sum()
        count, finite = torch.stack([sure, all_finite([view]).long()]).tolist()
        refuse_unless(bool(finite))
        scores, pairs = scores[:count], pairs[:count]  # the best ones come first
        queries, labels = pairs // prob.shape[1], pairs % prob.shape[1]
        used, index = queries.unique(return_inverse=True)
        masks, quality = self.masks(view, used, size)
        scores = scores * quality[index]
        order = scores.argsort(descending=True, stable=True)
        return InstanceResult(labels[order], scores[order], masks[index[order]])

    def masks(self, view: View, used: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Masks (K, H, W) of the used queries and their mean probability inside (K,)."""
        chosen = replace(view, class_prob=view.class_prob[used], mask_logits=view.mask_logits[used])
        masks = used.new_empty((len(chosen.mask_logits), *size), dtype=torch.bool)
        total: Tensor | float = 0.0
        for rows in row_bands([chosen], size):
            prob = output_maps(chosen, size, rows).sigmoid()
            masks[:, rows] = prob > 0.5
            total = total + (prob * masks[:, rows]).sum((1, 2))
        return masks, total / masks.sum((1, 2)).clamp(min=1)
