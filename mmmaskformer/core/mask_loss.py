"""The mask losses at the ground truth's resolution, exactly, in chunks of a few masks (paper,
Section 3.3): nothing of full size outlives its chunk, backward included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import kernels
from .losses import DiceLoss, FocalLoss, is_focal_and_dice
from .resizing import upsample, upsample_adjoint
from .tuning import EAGER_LOSSES, chunks


def chunked_mask_loss(
    logits: Tensor,
    segment_maps: Tensor,
    image: Tensor,
    segment: Tensor,
    losses: Sequence[nn.Module],
    *,
    kernel: str = "auto",
) -> Tensor:
    """Mask losses of N matched masks at the ground truth's resolution, exactly.

    The logits are upsampled bilinearly, a few masks at a time; neither the upsampled logits nor
    binary masks outlive their chunk, and backward needs only (K, N, h, w). Computed in float32
    whatever the logits are.

    Args:
        logits: (N, h, w).
        segment_maps: (B, H, W), as in `SegmentTargets`.
        image, segment: (N,) int64, the image and the segment of it that each mask should be.
        losses: K modules that map (n, P) logits and float targets to (n,) values; the pair
            `FocalLoss`, `DiceLoss` is faster than others.
        kernel: who computes that pair: "eager" is the way above, "triton" two GPU kernels
            without chunks, "auto" the kernels where they work (see `kernels`).

    Returns:
        (K, N) unweighted losses, differentiable by `logits`.

    Raises:
        ValueError, RuntimeError: "triton" is asked for and can not be had.
    """
    fused = kernels.choose(kernel, logits, segment_maps, losses)
    if fused is not None:
        return fused(logits, segment_maps, image, segment, losses)
    return eager_mask_loss(logits, segment_maps, image, segment, losses)


def eager_mask_loss(
    logits: Tensor,
    segment_maps: Tensor,
    image: Tensor,
    segment: Tensor,
    losses: Sequence[nn.Module],
) -> Tensor:
    """`chunked_mask_loss` in torch's own operations."""
    logits = logits if torch.is_grad_enabled() else logits.detach()
    return _ChunkedMaskLoss.apply(logits, segment_maps, image, segment, tuple(losses))


def focal_and_dice(
    logits: Tensor, outside: Tensor, focal: FocalLoss, dice: DiceLoss, work: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Focal and dice losses of n masks and their gradients, without autograd.

    With s = -1 on the mask and 1 off it, z = s logits is the logit of the wrong answer and
    e = sigmoid(z) the error. Focal is the mean of a e^gamma softplus(z), whose derivative by z is
    a e^gamma (gamma (1 - e) softplus(z) + e). Dice is 1 - A / T with A = 2 |p t| + smooth and
    T = |p| + |t| + smooth; p is e off the mask and 1 - e on it.

    Args:
        logits: (n, P) float32.
        outside: (n, P) float32, 0 on the mask and 1 off it: products with booleans are slow.
        work: (6, n, P) float32 buffers, instead of new memory.

    Returns:
        values (2, n) and gradients (2, n, P), which are the last two of `work`.
    """
    pixels, one = logits.shape[1], logits.new_ones(())
    work = logits.new_empty(6, *logits.shape) if work is None else work
    sign, error, spare, focus, entropy, right = work
    torch.add(-one, outside, alpha=2, out=sign)
    wrong = torch.mul(logits, sign, out=spare)
    torch.sigmoid(wrong, out=error)
    torch.sub(one, error, out=right)
    torch.ops.aten.softplus.out(wrong, out=entropy)
    if focal.gamma == 2:
        torch.square(error, out=focus)
    else:
        torch.pow(error, focal.gamma, out=focus)
    if focal.alpha >= 0:
        weight = torch.mul(outside, (1 - 2 * focal.alpha) / pixels, out=spare)
        focus *= weight.add_(focal.alpha / pixels)
    else:
        focus /= pixels
    focal_value = torch.mul(focus, entropy, out=spare).sum(1)
    slope = torch.addcmul(error, entropy, right, value=focal.gamma, out=entropy)
    slope.mul_(focus).mul_(sign)  # focal's gradient

    # Differences of sums over all pixels would lose a small mask: |p t| is summed by itself, and
    # T = |e| + A.
    error_area = error.sum(1)
    inside = torch.addcmul(right, right, outside, value=-1, out=spare)
    overlap = 2 * inside.sum(1) + dice.smooth
    total = error_area + overlap
    off = (overlap / total.square())[:, None]
    factor = torch.lerp(off - 2 / total[:, None], off, outside, out=spare)
    right.mul_(error).mul_(factor)  # dice's gradient
    return torch.stack([focal_value, error_area / total]), work[4:]


def _values_and_grads(
    losses: Sequence[nn.Module], logits: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Of K losses the values (K, n) and the gradients (K, n, P)."""
    values, grads = [], []
    for loss in losses:
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            value = loss(leaf, target)
            grads.append(torch.autograd.grad(value.sum(), leaf)[0])
        values.append(value.detach())
    return torch.stack(values), torch.stack(grads)


class _ChunkedMaskLoss(torch.autograd.Function):
    """Forward computes the gradient by the stride-4 logits, too: per mask, the losses are
    linear in what backward receives, so nothing of full size has to survive until then."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        segment_maps: Tensor,
        image: Tensor,
        segment: Tensor,
        losses: Sequence[Any],
    ) -> Tensor:
        count, size = len(logits), segment_maps.shape[1:]
        need_grad = ctx.needs_input_grad[0]
        values = logits.new_zeros((len(losses), count), dtype=torch.float32)
        grads = logits.new_zeros(
            (len(losses), *logits.shape) if need_grad else (0,), dtype=torch.float32
        )
        segment_maps, segment = segment_maps.float(), segment.float()
        pair, work = need_grad and is_focal_and_dice(losses), None
        for rows in chunks(count, size.numel(), logits.device, EAGER_LOSSES):
            if work is None:
                work = values.new_empty(8 if pair else 2, rows.stop, *size)
            part = work[:, : rows.stop - rows.start]
            full = upsample(logits[rows].float(), size, part[0]).flatten(1)
            outside = torch.index_select(segment_maps, 0, image[rows], out=part[1]).flatten(1)
            outside.sub_(segment[rows, None]).abs_().clamp_(max=1)
            if not need_grad:
                for index, loss in enumerate(losses):
                    values[index, rows] = loss(full, 1 - outside)
                continue
            if not pair:
                value, grad = _values_and_grads(losses, full, 1 - outside)
            else:
                focal, dice = losses
                value, grad = focal_and_dice(full, outside, focal, dice, part[2:].flatten(2))
            values[:, rows] = value
            small = upsample_adjoint(grad.flatten(0, 1).unflatten(1, size), logits.shape[1:])
            grads[:, rows] = small.unflatten(0, grad.shape[:2])
        ctx.save_for_backward(grads)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_values: Tensor) -> tuple:
        (grads,) = ctx.saved_tensors
        # Not a matrix product, which autocast would round.
        grad = (grad_values[:, :, None, None] * grads).sum(0)
        return grad, None, None, None, None
