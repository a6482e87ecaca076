"""The loss of HMSANet: region mutual information (Zhao et al., NeurIPS 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.checks import check_number
from ..registry import MODELS

RADIUS, POOL, EPSILON = 3, 4, 5e-4
"""Edge of a window; pixels that are averaged to one; what keeps covariances invertible."""


@MODELS.register_module()
class RMILoss(nn.Module):
    """Binary cross entropy of the classes, and a bound on what a window of the prediction leaves
    unsaid about the same window of the labels; a `loss_decode` for mmseg's heads.

    Classes are told apart by sigmoids. The bound is in double precision, and may be negative. A
    batch in which nothing is labelled has a constant loss, whose gradient is 0.

    Args:
        bound_share: of the bound in the sum; the cross entropy has the rest. With 0 it is alone.
        loss_weight: of the loss.
    """

    loss_name = "loss_rmi"  # for mmseg

    def __init__(self, *, bound_share: float = 0.5, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.bound_share = check_number("bound_share", bound_share, 0, 1)
        self.loss_weight = check_number("RMILoss.loss_weight", loss_weight)

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """The weighted loss, a scalar; a GPU is waited for once, to look at the labels.

        Args:
            logits: (B, C, H, W).
            labels: (B, H, W) in [0, C), or `ignore_index`.

        Raises:
            ValueError: there are weights of pixels, a label of no class, one class only, or an
                image is too small for a window.
        """
        if weight is not None:
            raise ValueError("RMILoss takes no weights of pixels; wanted sampler=None")
        count = logits.shape[1]
        wrong = labels[(labels != ignore_index) & ((labels < 0) | (labels >= count))]
        if count < 2 or len(wrong):
            wanted = f"2 classes or more, and labels below their number or {ignore_index}"
            got = f"{count} classes, and labels {wrong.unique().tolist()}"
            raise ValueError(f"RMILoss needs {wanted}, got {got}")
        logits, valid = logits.float(), (labels != ignore_index)[:, None]
        classes = torch.arange(count, device=logits.device)[:, None, None]
        truth = ((labels[:, None] == classes) & valid).float()
        entropy = F.binary_cross_entropy_with_logits(logits, truth, valid.float(), reduction="sum")
        loss = entropy / (valid.sum() + 1.0)
        if self.bound_share:
            bound = information_bound(truth, logits.sigmoid() * valid + 1e-6)
            loss = (1 - self.bound_share) * loss + self.bound_share * bound.float()
        return self.loss_weight * loss


def information_bound(truth: Tensor, probability: Tensor) -> Tensor:
    """Half the log determinant of what is unknown of the windows of `truth` when those of
    `probability` are known; per pixel of a window, mean of images, sum of classes. Both are
    (B, C, H, W)."""
    known, seen = (windows(maps) for maps in (truth, probability))
    identity = EPSILON * torch.eye(RADIUS**2, dtype=known.dtype, device=known.device)
    # A Cholesky factor that is not checked does not make a GPU wait; NaN stays NaN.
    factor = torch.linalg.cholesky_ex(seen @ seen.mT + identity)[0]
    told = torch.linalg.solve_triangular(factor, seen @ known.mT, upper=False)
    unknown = torch.linalg.cholesky_ex(known @ known.mT - told.mT @ told + identity)[0]
    log_determinant = 2 * (unknown.diagonal(dim1=-2, dim2=-1) + 1e-8).log().sum(-1)
    return 0.5 * log_determinant.mean(0).sum() / RADIUS**2


def windows(maps: Tensor) -> Tensor:
    """The values of all windows less their mean, (B, C, 9, N) float64."""
    pooled = F.avg_pool2d(maps, POOL, POOL, padding=POOL // 2)  # zeros of the padding count
    if min(pooled.shape[-2:]) < RADIUS:
        raise ValueError(f"RMILoss needs images of at least 8x8, got {tuple(maps.shape[-2:])}")
    values = F.unfold(pooled.double().flatten(0, 1)[:, None], RADIUS)
    return (values - values.mean(-1, keepdim=True)).unflatten(0, maps.shape[:2])
