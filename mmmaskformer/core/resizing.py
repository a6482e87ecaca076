"""Bilinear upsampling of mask logits to the ground truth's resolution, and its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def upsample(maps: Tensor, size: Sequence[int], out: Tensor | None = None) -> Tensor:
    """Bilinear resize of (N, h, w) to (N, H, W), half-pixel centres.

    Args:
        out: (N, H, W), instead of new memory where H = 4 h and W = 4 w, the usual case.
    """
    height, width = size
    if tuple(maps.shape[1:]) == (height, width):
        return maps
    if (height, width) != (4 * maps.shape[1], 4 * maps.shape[2]):
        return F.interpolate(maps[:, None], size=(height, width), mode="bilinear")[:, 0]
    rows = F.interpolate(maps, size=width, mode="linear")
    out = rows.new_empty(len(rows), height, width) if out is None else out
    # Output rows 4 i .. 4 i + 3 lie at i - 3/8, i - 1/8, i + 1/8 and i + 3/8 of the source; at
    # the ends both neighbours are the same row.
    row0, row1, row2, row3 = out.unflatten(1, (-1, 4)).unbind(2)
    for row, share in (row0, 0.375), (row1, 0.125):
        torch.lerp(rows[:, 1:], rows[:, :-1], share, out=row[:, 1:])
        row[:, 0] = rows[:, 0]
    for row, share in (row2, 0.125), (row3, 0.375):
        torch.lerp(rows[:, :-1], rows[:, 1:], share, out=row[:, :-1])
        row[:, -1] = rows[:, -1]
    return out


def upsample_adjoint(grad: Tensor, size: Sequence[int]) -> Tensor:
    """The adjoint of `upsample`: gradient (N, H, W) to (N, h, w)."""
    height, width = grad.shape[1:]
    if (height, width) == tuple(size):
        return grad
    if (height, width) == (4 * size[0], 4 * size[1]):
        return _fold_rows_by_4(_fold_rows_by_4(grad).transpose(1, 2)).transpose(1, 2)
    # Matrix products, as torch's own adjoint is not deterministic on a GPU.
    rows, columns = (
        F.interpolate(
            torch.eye(small, dtype=grad.dtype, device=grad.device)[None], size=large, mode="linear"
        )[0]
        for small, large in zip(size, (height, width), strict=True)
    )
    return rows @ grad @ columns.T


class _UpsampleBy4(torch.autograd.Function):
    """Autograd around `upsample` and `upsample_adjoint`."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.grid = maps.shape[1:]
        return upsample(maps, (4 * ctx.grid[0], 4 * ctx.grid[1]))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return upsample_adjoint(grad, ctx.grid)


def upsample_by_4(maps: Tensor) -> Tensor:
    """Bilinear resize of (B, C, h, w) to (B, C, 4 h, 4 w), differentiable, and deterministic on a
    GPU, where torch's is not."""
    return _UpsampleBy4.apply(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])


def _fold_rows_by_4(grad: Tensor) -> Tensor:
    """The adjoint for rows alone: (N, 4 h, W) to (N, h, W)."""
    row0, row1, row2, row3 = grad.unflatten(1, (-1, 4)).unbind(2)
    folded = (row0 + row3).mul_(0.625).add_(row1, alpha=0.875).add_(row2, alpha=0.875)
    above = (row0 * 0.375).add_(row1, alpha=0.125)
    below = (row3 * 0.375).add_(row2, alpha=0.125)
    folded[:, :-1] += above[:, 1:]
    folded[:, 0] += above[:, 0]
    folded[:, 1:] += below[:, :-1]
    folded[:, -1] += below[:, -1]
    return folded
