"""Focal and dice losses at the ground truth's resolution as two GPU kernels (paper, Section 3.3):
nothing of full size is ever in memory. Imports triton; `kernels.choose` says when it is used.

A program works on `TRITON_BLOCK` cells of one mask's grid (h, w). Along an axis of n cells and
m >= n pixels, pixel y lies at (y + 1/2) n / m - 1/2 in cells, or at the first or last cell where
that is outside of them. Its logit is a sum of the two cells around that place; the pixels that
touch cell i are those within one cell of it, at most 2 m / n, rounded up. Forward gives each pixel
to the cell y n // m, which is one of the two.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from triton import language as tl

from ..losses import DiceLoss, FocalLoss
from ..tuning import TRITON_BLOCK

SIZES = ["height", "width", "rows", "columns"]
"""Arguments of the kernels that triton shall not compile anew for, as images have many sizes."""


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
def _place(height, width, BLOCK: tl.constexpr):
    """The mask of this program, rows and columns of its cells, and whether they exist."""
    blocks = tl.cdiv(height * width, BLOCK)
    mask = tl.program_id(0) // blocks
    cell = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    return mask.to(tl.int64), cell // width, cell % width, cell < height * width


@triton.jit
def _offset(cell, pixel, cells, pixels):
    """How far behind a cell a pixel lies, in cells, at most 1 away."""
    offset = ((2 * pixel + 1) * cells - pixels - 2 * cell * pixels) / (2 * pixels)
    offset = tl.minimum(tl.maximum(offset, -cell), cells - 1 - cell)
    return tl.minimum(tl.maximum(offset, -1.0), 1.0)


@triton.jit
def _first_own(cell, cells, pixels):
    """The first pixel that forward gives to a cell, y >= i m / n."""
    return (cell * pixels + cells - 1) // cells


@triton.jit
def _first_touching(cell, cells, pixels, SPAN: tl.constexpr):
    """The first pixel within one cell of a cell, y > ((2 i - 1) m / n - 1) / 2; it may be negative,
    but what is divided may not, as the quotient is rounded towards 0."""
    return ((2 * cell - 1) * pixels - cells + 2 * cells * SPAN) // (2 * cells) + 1 - SPAN


@triton.jit
def _between(logits, row, other, weight, column, width, exists):
    """Logits between the rows `row` and `other` of one column."""
    here = tl.load(logits + row * width + column, mask=exists, other=0.0).to(tl.float32)
    there = tl.load(logits + other * width + column, mask=exists, other=0.0).to(tl.float32)
    return here * (1.0 - weight) + there * weight


@triton.jit
def _row_of_logits(logits, row, column, offset, height, width, exists):
    """The logits `offset` behind the cells' row, at their column and its two neighbours."""
    weight = tl.abs(offset)
    other = tl.where(offset < 0, tl.maximum(row - 1, 0), tl.minimum(row + 1, height - 1))
    left, last = tl.maximum(column - 1, 0), tl.minimum(column + 1, width - 1)
    before = _between(logits, row, other, weight, left, width, exists)
    middle = _between(logits, row, other, weight, column, width, exists)
    after = _between(logits, row, other, weight, last, width, exists)
    return before, middle, after


@triton.jit
def _pixel_logits(before, middle, after, offset):
    """The logits `offset` behind the cells' column."""
    weight = tl.abs(offset)
    return middle * (1.0 - weight) + tl.where(offset < 0, before, after) * weight


@triton.jit(do_not_specialize=SIZES)
def _sums_kernel(
    logits, maps, image, segment, sums, height, width, rows, columns,
    OWN: tl.constexpr, SPAN: tl.constexpr, ALPHA: tl.constexpr, GAMMA: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Per mask and program, sums over the cells' own pixels: focal terms, |p - t| and p t."""
    mask, row, column, exists = _place(height, width, BLOCK)
    logits += mask * height * width
    maps += tl.load(image + mask).to(tl.int64) * rows * columns
    wanted = tl.load(segment + mask)
    focal = tl.zeros((BLOCK,), tl.float32)
    errors = tl.zeros((BLOCK,), tl.float32)
    overlap = tl.zeros((BLOCK,), tl.float32)
    first_x, end_x = _first_own(column, width, columns), _first_own(column + 1, width, columns)
    first_y, end_y = _first_own(row, height, rows), _first_own(row + 1, height, rows)
    for r in range(OWN):
        y = first_y + r
        before, middle, after = _row_of_logits(
            logits, row, column, _offset(row, y, height, rows), height, width, exists
        )
        for c in range(OWN):
            x = first_x + c
            own = exists & (y < end_y) & (x < end_x)
            on = tl.load(maps + y * columns + x, mask=own, other=0) == wanted
            logit = _pixel_logits(before, middle, after, _offset(column, x, width, columns))
            error, right, cross_entropy, focus = _pixel_terms(logit, on, ALPHA, GAMMA)
            focal += tl.where(own, focus * cross_entropy, 0.0)
            errors += tl.where(own, error, 0.0)
            overlap += tl.where(own & on, right, 0.0)
    sums += tl.program_id(0).to(tl.int64) * 3
    tl.store(sums, tl.sum(focal))
    tl.store(sums + 1, tl.sum(errors))
    tl.store(sums + 2, tl.sum(overlap))


@triton.jit(do_not_specialize=SIZES)
def _grad_kernel(
    logits, maps, image, segment, factors, grads, height, width, rows, columns,
    OWN: tl.constexpr, SPAN: tl.constexpr, ALPHA: tl.constexpr, GAMMA: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of a cell, gathered from the pixels that it touches.

    `factors` (N, 3) multiply the derivatives, by a pixel's logit, of its focal term, of p, and
    of p t.
    """
    mask, row, column, exists = _place(height, width, BLOCK)
    logits += mask * height * width
    maps += tl.load(image + mask).to(tl.int64) * rows * columns
    wanted = tl.load(segment + mask)
    by_focal = tl.load(factors + mask * 3)
    by_prob = tl.load(factors + mask * 3 + 1)
    by_overlap = tl.load(factors + mask * 3 + 2)
    grad = tl.zeros((BLOCK,), tl.float32)
    first_x = _first_touching(column, width, columns, SPAN)
    first_y = _first_touching(row, height, rows, SPAN)
    for r in range(SPAN):
        y = first_y + r
        offset = _offset(row, y, height, rows)
        inside = exists & (y >= 0) & (y < rows)
        row_weight = tl.where(inside, 1.0 - tl.abs(offset), 0.0)
        before, middle, after = _row_of_logits(logits, row, column, offset, height, width, exists)
        for c in range(SPAN):
            x = first_x + c
            offset = _offset(column, x, width, columns)
            weight = tl.where((x >= 0) & (x < columns), row_weight * (1.0 - tl.abs(offset)), 0.0)
            on = tl.load(maps + y * columns + x, mask=weight > 0, other=0) == wanted
            logit = _pixel_logits(before, middle, after, offset)
            error, right, cross_entropy, focus = _pixel_terms(logit, on, ALPHA, GAMMA)
            slope = focus * (GAMMA * right * cross_entropy + error)
            slope = by_focal * tl.where(on, -slope, slope)
            slope += error * right * (by_prob + tl.where(on, by_overlap, 0.0))
            grad += tl.where(weight > 0, weight * slope, 0.0)
    cell = mask * height * width + row * width + column
    tl.store(grads + cell, grad.to(grads.dtype.element_ty), mask=exists)


class _TritonMaskLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, segment_maps, image, segment, focal, dice):
        inputs = [tensor.contiguous() for tensor in (logits, segment_maps, image, segment)]
        (count, height, width), (rows, columns) = logits.shape, segment_maps.shape[1:]
        ratio = max(Fraction(rows, height), Fraction(columns, width))
        ctx.constants = (
            (height, width, rows, columns, math.ceil(ratio), math.ceil(2 * ratio))
            + (float(focal.alpha), float(focal.gamma), TRITON_BLOCK)
        )  # fmt: skip
        blocks = triton.cdiv(height * width, TRITON_BLOCK)
        ctx.grid = (count * blocks,)  # one dimension: the others are short
        ctx.pixels = rows * columns
        sums = logits.new_empty((count, blocks, 3), dtype=torch.float32)
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
    """`mask_loss.chunked_mask_loss` of exactly these two losses, (2, N), for `logits` (N, h, w) and
    maps (B, H, W) with H >= h and W >= w."""
    return _TritonMaskLoss.apply(logits, segment_maps, image, segment, *losses)
