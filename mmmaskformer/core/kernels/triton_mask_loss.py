"""Focal and dice losses at the ground truth's resolution as two GPU kernels (paper, Section 3.3):
nothing of full size is ever in memory. Imports triton; `kernels.choose` says when it is used.

A program works on `TRITON_BLOCK` cells of one mask's grid (h, w). With H = s h and W = s w, the
pixels s i + r, 0 <= r < s, lie at i + (r + 1/2) / s - 1/2 in rows of the grid, so their logits are
sums of cell i and one neighbour, and the pixels that touch cell i are those with
-(s // 2) <= r < s + s // 2. At the ends, both neighbours are the same cell.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from triton import language as tl

from ..losses import DiceLoss, FocalLoss
from ..tuning import TRITON_BLOCK


@triton.jit
def _log1p(x):
    """log(1 + x) for x in [0, 1], to the last bits: 2 artanh(x / (2 + x)) as a series."""
    ratio = x / (2.0 + x)
    square = ratio * ratio
    series = square * (1.0 / 17.0) + 1.0 / 15.0
    series = series * square + 1.0 / 13.0
    series = series * square + 1.0 / 11.0
    series = series * square + 1.0 / 9.0
    series = series * square + 1.0 / 7.0
    series = series * square + 1.0 / 5.0
    series = series * square + 1.0 / 3.0
    return 2.0 * ratio * (series * square + 1.0)


@triton.jit
def _pixel_terms(logit, on, ALPHA: tl.constexpr, GAMMA: tl.constexpr):
    """Error e, 1 - e, softplus(z) and a e^gamma of pixels, as in `mask_loss.focal_and_dice`."""
    wrong = tl.where(on, -logit, logit)
    decay = tl.exp(-tl.abs(logit))
    high = 1.0 / (1.0 + decay)
    low = decay * high
    error = tl.where(wrong > 0, high, low)
    right = tl.where(wrong > 0, low, high)
    rest = _log1p(decay)
    cross_entropy = tl.maximum(wrong, 0.0) + rest
    if GAMMA == 2:  # noqa: SIM108  (chosen while compiling)
        focus = error * error
    else:
        focus = tl.exp(GAMMA * (tl.minimum(wrong, 0.0) - rest))  # log e = z - softplus(z)
    if ALPHA >= 0:
        focus *= tl.where(on, ALPHA, 1.0 - ALPHA)
    return error, right, cross_entropy, focus


@triton.jit
def _cells(height, width, BLOCK: tl.constexpr):
    """Rows and columns of this program's cells, and whether they exist."""
    cell = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    return cell // width, cell % width, cell < height * width


@triton.jit
def _between(logits, row, other, weight, column, width, exists):
    """Logits between the rows `row` and `other` of one column."""
    here = tl.load(logits + row * width + column, mask=exists, other=0.0).to(tl.float32)
    there = tl.load(logits + other * width + column, mask=exists, other=0.0).to(tl.float32)
    return here * (1.0 - weight) + there * weight


@triton.jit
def _row_of_logits(logits, row, column, r, height, width, exists, SCALE: tl.constexpr):
    """The logits of pixel row s i + r at the cells' column and its two neighbours."""
    offset = (r + tl.zeros_like(row) + 0.5) * (1.0 / SCALE) - 0.5
    weight = tl.abs(offset)
    other = tl.where(offset < 0, tl.maximum(row - 1, 0), tl.minimum(row + 1, height - 1))
    left, last = tl.maximum(column - 1, 0), tl.minimum(column + 1, width - 1)
    before = _between(logits, row, other, weight, left, width, exists)
    middle = _between(logits, row, other, weight, column, width, exists)
    after = _between(logits, row, other, weight, last, width, exists)
    return before, middle, after


@triton.jit
def _pixel_logits(before, middle, after, c, SCALE: tl.constexpr):
    """The logits of pixel column s j + c; c is known while compiling."""
    if 2 * c + 1 < SCALE:
        weight = 0.5 - (c + 0.5) / SCALE
        return middle * (1.0 - weight) + before * weight
    else:  # noqa: RET505  (triton wants both branches of a constant condition)
        weight = (c + 0.5) / SCALE - 0.5
        return middle * (1.0 - weight) + after * weight


@triton.jit
def _adjoint_weight(index, r, count, SCALE: tl.constexpr):
    """Weight of cell `index` in pixel s index + r along one axis; 0 outside the image."""
    offset = (r + tl.zeros_like(index) + 0.5) * (1.0 / SCALE) - 0.5
    clamped = ((index == 0) & (offset < 0)) | ((index == count - 1) & (offset > 0))
    pixel = index * SCALE + r
    inside = (pixel >= 0) & (pixel < count * SCALE)
    return tl.where(inside, tl.where(clamped, 1.0, 1.0 - tl.abs(offset)), 0.0)


@triton.jit
def _sums_kernel(
    logits, maps, image, segment, sums, height, width,
    SCALE: tl.constexpr, ALPHA: tl.constexpr, GAMMA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Per mask and program, sums over the cells' own pixels: focal terms, |p - t| and p t."""
    mask = tl.program_id(0).to(tl.int64)
    logits += mask * height * width
    maps += tl.load(image + mask).to(tl.int64) * (height * width * SCALE * SCALE)
    wanted = tl.load(segment + mask)
    row, column, exists = _cells(height, width, BLOCK)
    focal = tl.zeros((BLOCK,), tl.float32)
    errors = tl.zeros((BLOCK,), tl.float32)
    overlap = tl.zeros((BLOCK,), tl.float32)
    for r in range(SCALE):
        before, middle, after = _row_of_logits(logits, row, column, r, height, width, exists, SCALE)
        first = (row * SCALE + r) * (width * SCALE) + column * SCALE
        for c in tl.static_range(SCALE):
            on = tl.load(maps + first + c, mask=exists, other=0) == wanted
            logit = _pixel_logits(before, middle, after, c, SCALE)
            error, right, cross_entropy, focus = _pixel_terms(logit, on, ALPHA, GAMMA)
            focal += focus * cross_entropy
            errors += error
            overlap += tl.where(on, right, 0.0)
    sums += (mask * tl.num_programs(1) + tl.program_id(1)) * 3
    tl.store(sums, tl.sum(tl.where(exists, focal, 0.0)))
    tl.store(sums + 1, tl.sum(tl.where(exists, errors, 0.0)))
    tl.store(sums + 2, tl.sum(tl.where(exists, overlap, 0.0)))


@triton.jit
def _grad_kernel(
    logits, maps, image, segment, factors, grads, height, width,
    SCALE: tl.constexpr, ALPHA: tl.constexpr, GAMMA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of a cell, gathered from the pixels that it touches.

    `factors` (N, 3) multiply the derivatives, by a pixel's logit, of its focal term, of p, and
    of p t.
    """
    mask = tl.program_id(0).to(tl.int64)
    logits += mask * height * width
    maps += tl.load(image + mask).to(tl.int64) * (height * width * SCALE * SCALE)
    wanted = tl.load(segment + mask)
    by_focal = tl.load(factors + mask * 3)
    by_prob = tl.load(factors + mask * 3 + 1)
    by_overlap = tl.load(factors + mask * 3 + 2)
    row, column, exists = _cells(height, width, BLOCK)
    grad = tl.zeros((BLOCK,), tl.float32)
    for r in range(-(SCALE // 2), SCALE + SCALE // 2):
        before, middle, after = _row_of_logits(logits, row, column, r, height, width, exists, SCALE)
        row_weight = _adjoint_weight(row, r, height, SCALE)
        first = (row * SCALE + r) * (width * SCALE) + column * SCALE
        for c in tl.static_range(-(SCALE // 2), SCALE + SCALE // 2):
            weight = row_weight * _adjoint_weight(column, c, width, SCALE)
            on = tl.load(maps + first + c, mask=exists & (weight > 0), other=0) == wanted
            logit = _pixel_logits(before, middle, after, c, SCALE)
            error, right, cross_entropy, focus = _pixel_terms(logit, on, ALPHA, GAMMA)
            slope = focus * (GAMMA * right * cross_entropy + error)
            slope = by_focal * tl.where(on, -slope, slope)
            slope += error * right * (by_prob + tl.where(on, by_overlap, 0.0))
            grad += weight * slope
    cell = mask * height * width + row * width + column
    tl.store(grads + cell, grad.to(grads.dtype.element_ty), mask=exists)


class _TritonMaskLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, segment_maps, image, segment, focal, dice):
        inputs = [tensor.contiguous() for tensor in (logits, segment_maps, image, segment)]
        count, height, width = logits.shape
        scale = segment_maps.shape[1] // height
        ctx.constants = height, width, scale, float(focal.alpha), float(focal.gamma), TRITON_BLOCK
        ctx.grid = count, triton.cdiv(height * width, TRITON_BLOCK)
        ctx.pixels = segment_maps.shape[1] * segment_maps.shape[2]
        sums = logits.new_empty((*ctx.grid, 3), dtype=torch.float32)
        if count:
            with torch.cuda.device_of(logits):
                _sums_kernel[ctx.grid](*inputs, sums, *ctx.constants)
        focal_sum, errors, overlap = sums.sum(1).unbind(1)
        # A = 2 |p t| + smooth and T; |p| + |t| is |p - t| + 2 |p t|, so 1 - A / T = |p - t| / T.
        overlap = 2 * overlap + dice.smooth
        total = errors + overlap
        ctx.save_for_backward(*inputs, overlap, total)
        return torch.stack([focal_sum / ctx.pixels, errors / total])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_values):
        *inputs, overlap, total = ctx.saved_tensors
        by_focal, by_dice = grad_values.float().unbind()
        factors = [by_focal / ctx.pixels, by_dice * overlap / total.square(), -2 * by_dice / total]
        grads = torch.empty_like(inputs[0])
        if len(grads):
            with torch.cuda.device_of(grads):
                _grad_kernel[ctx.grid](*inputs, torch.stack(factors, 1), grads, *ctx.constants)
        return grads, None, None, None, None, None


def triton_mask_loss(
    logits: Tensor,
    segment_maps: Tensor,
    image: Tensor,
    segment: Tensor,
    losses: tuple[FocalLoss, DiceLoss],
) -> Tensor:
    """`mask_loss.chunked_mask_loss` of exactly these two losses, (2, N), where the maps
    (B, H, W) are `logits` (N, h, w) upsampled by an integer: H = s h and W = s w."""
    return _TritonMaskLoss.apply(logits, segment_maps, image, segment, *losses)
