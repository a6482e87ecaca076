"""Class, focal and dice losses (paper, Section 3.3 and supplement of DETR), and the chunked
mask loss that applies any of the mask losses at full resolution without keeping anything there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHUNK_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 24}
"""Elements of a full-size chunk by device type: CPU chunks stay in cache, CUDA chunks keep the
device busy; about ten temporaries of this size are alive at once."""


def chunks(rows: int, elements_per_row: int, device: torch.device) -> Iterator[slice]:
    """Slices over `rows`, each of about `CHUNK_ELEMENTS` elements and at least one row."""
    budget = CHUNK_ELEMENTS.get(device.type, CHUNK_ELEMENTS["cuda"])
    step = max(1, budget // max(1, elements_per_row))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


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
        weight[-1] = self.no_object_weight
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

    def alpha_weight(self, target: Tensor) -> Tensor | float:
        """Weight of every pixel, for `target` in {0, 1}."""
        return target * (2 * self.alpha - 1) + (1 - self.alpha) if self.alpha >= 0 else 1.0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (N, P), target (N, P) float in {0, 1} -> (N,) unweighted losses."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        error = (target - logits.sigmoid()).abs()
        return (self.alpha_weight(target) * error**self.gamma * cross_entropy).mean(1)

    def value_and_grad(self, logits: Tensor, prob: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with its gradient (N, P); `prob` is the sigmoid of `logits`.

        With z = +-logits, p = sigmoid(z) and q = 1 - p, the loss is a q^gamma softplus(-z) and
        its derivative by z is -a q^gamma (gamma p softplus(-z) + q).
        """
        sign = target * -2 + 1  # of -z
        cross_entropy = F.softplus(logits * sign)
        error = (target - prob).abs_()
        focus = error.square() if self.gamma == 2 else error**self.gamma
        focus *= self.alpha_weight(target)
        value = (focus * cross_entropy).mean(1)
        slope = torch.addcmul(error, cross_entropy, 1 - error, value=self.gamma)
        return value, slope.mul_(focus).mul_(sign).div_(logits.shape[1])


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

    def value_and_grad(self, logits: Tensor, prob: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with its gradient (N, P); `prob` is the sigmoid of `logits`."""
        overlap = 2 * (prob * target).sum(1) + self.smooth
        total = prob.sum(1) + target.sum(1) + self.smooth
        grad = target * (-2 / total)[:, None] + (overlap / total.square())[:, None]
        return 1 - overlap / total, grad.mul_(prob).mul_(1 - prob)


def _value_and_grad(
    loss: nn.Module, logits: Tensor, prob: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """`loss.value_and_grad` where there is one, autograd on the chunk where not."""
    if hasattr(loss, "value_and_grad"):
        return loss.value_and_grad(logits, prob, target)
    with torch.enable_grad():
        logits = logits.detach().requires_grad_()
        value = loss(logits, target)
        (grad,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), grad


class _ChunkedMaskLoss(torch.autograd.Function):
    """Forward computes the gradient by the stride-4 logits, too: per mask, the losses are
    linear in what backward receives, so nothing of full size has to survive until then."""

    @staticmethod
    def forward(ctx, logits, segment_maps, image, segment, losses):
        count, (height, width) = len(logits), segment_maps.shape[-2:]
        need_grad = ctx.needs_input_grad[0]
        values = logits.new_zeros((len(losses), count), dtype=torch.float32)
        grads = logits.new_zeros(
            (len(losses), *logits.shape) if need_grad else (0,), dtype=torch.float32
        )
        for rows in chunks(count, height * width, logits.device):
            full = upsample(logits[rows].float(), (height, width)).flatten(1)
            target = (segment_maps[image[rows]] == segment[rows, None, None]).flatten(1).float()
            prob = full.sigmoid()
            for index, loss in enumerate(losses):
                if not need_grad:
                    values[index, rows] = loss(full, target)
                    continue
                values[index, rows], grad = _value_and_grad(loss, full, prob, target)
                grads[index, rows] = upsample_adjoint(
                    grad.view(-1, height, width), logits.shape[1:]
                )
        ctx.save_for_backward(grads)
        ctx.logits_dtype = logits.dtype
        return values

    @staticmethod
    def backward(ctx, grad_values):
        (grads,) = ctx.saved_tensors
        grad = torch.einsum("kn,knhw->nhw", grad_values, grads)
        return grad.to(ctx.logits_dtype), None, None, None, None


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of (N, h, w) to (N, H, W), half-pixel centres."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)[
        :, 0
    ]


def upsample_adjoint(grad: Tensor, size: Sequence[int]) -> Tensor:
    """The adjoint of `upsample`: gradient (N, H, W) to (N, h, w)."""
    height, width = grad.shape[-2:]
    if (height, width) == tuple(size):
        return grad
    if (height, width) == (4 * size[0], 4 * size[1]):
        return _fold_rows_by_4(grad) @ _fold_matrix(width, grad.device)
    return torch.ops.aten.upsample_bilinear2d_backward(
        grad[None], [height, width], [1, len(grad), *size], False, None, None
    )[0]


def _fold_rows_by_4(grad: Tensor) -> Tensor:
    """Adjoint of bilinear upsampling of rows by 4, the usual case: (N, 4 h, W) to (N, h, W).

    Output rows 4 i .. 4 i + 3 lie at i - 3/8, i - 1/8, i + 1/8 and i + 3/8 of the source; at the
    ends both neighbours are the same row.
    """
    row0, row1, row2, row3 = grad.unflatten(1, (-1, 4)).unbind(2)
    folded = (row0 + row3).mul_(0.625).add_(row1, alpha=0.875).add_(row2, alpha=0.875)
    above = (row0 * 0.375).add_(row1, alpha=0.125)
    below = (row3 * 0.375).add_(row2, alpha=0.125)
    folded[:, :-1] += above[:, 1:]
    folded[:, 0] += above[:, 0]
    folded[:, 1:] += below[:, :-1]
    folded[:, -1] += below[:, -1]
    return folded


@functools.lru_cache(maxsize=8)
def _fold_matrix(width: int, device: torch.device) -> Tensor:
    """`_fold_rows_by_4` for columns, as a matrix (W, w)."""
    return _fold_rows_by_4(torch.eye(width, device=device)[None])[0].T.contiguous()


def chunked_mask_loss(
    logits: Tensor,
    segment_maps: Tensor,
    image: Tensor,
    segment: Tensor,
    losses: Sequence[nn.Module],
) -> Tensor:
    """Mask losses of N matched masks at the ground truth's resolution, exactly.

    The logits are upsampled bilinearly, a few masks at a time; neither the upsampled logits nor
    binary masks outlive their chunk, and backward needs only (K, N, h, w). Computed in float32
    whatever the logits are.

    Args:
        logits: (N, h, w).
        segment_maps: (B, H, W), as in `SegmentTargets`.
        image, segment: (N,) int64, the image and the segment of it that each mask should be.
        losses: K modules that map (n, P) logits and float targets to (n,) values; one with a
            method `value_and_grad` is faster.

    Returns:
        (K, N) unweighted losses, differentiable by `logits`.
    """
    return _ChunkedMaskLoss.apply(logits, segment_maps, image, segment, tuple(losses))
