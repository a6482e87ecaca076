"""Class, focal and dice losses (paper, Section 3.3 and supplement of DETR)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_number


class ClassLoss(nn.Module):
    """Cross-entropy over C + 1 classes, "no object" weighted down.

    The weighted mean is taken over all queries of this process's batch, as the original does.
    Where all weights in a batch are 0, as those of images without a segment are with
    `no_object_weight=0`, the original divides 0 by 0; here the loss is 0, with a gradient of 0.

    Args:
        class_weight: weights of the C classes, or of the C classes and "no object", for which
            `no_object_weight` is then not read; None: 1 for every class.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        loss_weight: float = 1.0,
        *,
        no_object_weight: float = 0.1,
        class_weight: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.loss_weight = check_number("ClassLoss.loss_weight", loss_weight)
        self.no_object_weight = check_number("ClassLoss.no_object_weight", no_object_weight)
        listed = isinstance(class_weight, Iterable) and not isinstance(class_weight, str)
        if class_weight is not None and not (listed and any(class_weight)):
            raise ValueError(
                "ClassLoss.class_weight must be a list of numbers, not all of them 0, got "
                f"{class_weight!r}"
            )
        for index, weight in enumerate(class_weight or ()):
            check_number(f"ClassLoss.class_weight[{index}]", weight)
        weights = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weights, persistent=False)

    def weights(self, like: Tensor) -> Tensor:
        """(C + 1,) weights for logits (..., C + 1); ValueError if there are not so many."""
        weight = like.new_ones(like.shape[-1])
        weight[-1:] = self.no_object_weight  # a slice: an index would make a GPU wait
        if self.class_weight is not None:
            given, classes = len(self.class_weight), len(weight) - 1
            if given not in (classes, classes + 1):
                raise ValueError(
                    f"ClassLoss.class_weight must have {classes} numbers, one for each class, or "
                    f"{classes + 1}, the last for 'no object'; it has {given}"
                )
            weight[:given] = self.class_weight
        return weight

    def forward(self, class_logits: Tensor, target: Tensor) -> Tensor:
        """class_logits (M, C + 1), target (M,) int64 in [0, C] -> scalar, unweighted; further
        dimensions before these stay."""
        weights = self.weights(class_logits)
        rows, classes = class_logits.flatten(0, -2), target.flatten()
        losses = F.cross_entropy(rows, classes, weights, reduction="none").view_as(target)
        total = weights[target].sum(-1)
        return losses.sum(-1) / torch.where(total > 0, total, 1)


class FocalLoss(nn.Module):
    """Sigmoid focal loss, mean over pixels (RetinaNet's, eq. 5).

    Args:
        alpha: weight of positive pixels, 1 - alpha that of negative ones; negative: no weights.
        gamma: focusing exponent.
    """

    def __init__(
        self, loss_weight: float = 20.0, *, alpha: float = 0.25, gamma: float = 2.0
    ) -> None:
        super().__init__()
        self.loss_weight = check_number("FocalLoss.loss_weight", loss_weight)
        self.alpha = check_number("FocalLoss.alpha", alpha, -math.inf, 1)
        self.gamma = check_number("FocalLoss.gamma", gamma)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (N, P), target (N, P) float in {0, 1} -> (N,) unweighted losses."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        error = (target - logits.sigmoid()).abs()
        loss = error**self.gamma * cross_entropy
        if self.alpha >= 0:
            loss = loss * (target * (2 * self.alpha - 1) + (1 - self.alpha))
        return loss.mean(1)


class DiceLoss(nn.Module):
    """1 - (2 |p t| + smooth) / (|p| + |t| + smooth), sums over the pixels of one mask."""

    def __init__(self, loss_weight: float = 1.0, *, smooth: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = check_number("DiceLoss.loss_weight", loss_weight)
        self.smooth = check_number("DiceLoss.smooth", smooth)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (N, P), target (N, P) float in {0, 1} -> (N,) unweighted losses."""
        prob = logits.sigmoid()
        overlap = 2 * (prob * target).sum(1) + self.smooth
        return 1 - overlap / (prob.sum(1) + target.sum(1) + self.smooth)


def is_focal_and_dice(losses: Sequence[nn.Module]) -> bool:
    """Whether these are exactly the pair whose gradients are written out."""
    return [type(loss) for loss in losses] == [FocalLoss, DiceLoss]
