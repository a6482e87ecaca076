"""Class, focal and dice losses (paper, Section 3.3 and supplement of DETR)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ClassLoss(nn.Module):
    """Cross-entropy over C + 1 classes, "no object" weighted down.

    The weighted mean is taken over all queries of this process's batch, as the original does.
    """

    def __init__(self, loss_weight: float = 1.0, *, no_object_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.no_object_weight = no_object_weight

    def forward(self, class_logits: Tensor, target: Tensor) -> Tensor:
        """class_logits (M, C + 1), target (M,) int64 in [0, C] -> scalar, unweighted."""
        weight = class_logits.new_ones(class_logits.shape[-1])
        weight[-1:] = self.no_object_weight  # a slice: an index would make a GPU wait
        return F.cross_entropy(class_logits, target, weight)


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
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, got {gamma}")
        self.loss_weight = loss_weight
        self.alpha = alpha
        self.gamma = gamma

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
        self.loss_weight = loss_weight
        self.smooth = smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (N, P), target (N, P) float in {0, 1} -> (N,) unweighted losses."""
        prob = logits.sigmoid()
        overlap = 2 * (prob * target).sum(1) + self.smooth
        return 1 - overlap / (prob.sum(1) + target.sum(1) + self.smooth)


def is_focal_and_dice(losses: Sequence[nn.Module]) -> bool:
    """Whether these are exactly the pair whose gradients are written out."""
    return [type(loss) for loss in losses] == [FocalLoss, DiceLoss]
