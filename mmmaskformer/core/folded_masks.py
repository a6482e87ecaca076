"""Mask logits from mask embeddings and pixel features, by the cheaper of two ways.

Mask logits are linear in the pixel embedding, and the embedding is a convolution of the pixel
features. So the logits of N masks are one convolution to N channels, whose kernel is the mask
embeddings times the embedding's kernel (the folded way), or inner products with the embedding's D
channels (the dense way). Both give the same values up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from .structures import FactoredOutput, PixelFeatures
from .tuning import FOLD_SHARE


def pixel_embedding(pixels: PixelFeatures | Tensor) -> Tensor:
    """The pixel embedding (B, D, h, w); a tensor is the embedding itself."""
    if isinstance(pixels, Tensor):
        return pixels
    if pixels.weight is None:
        return pixels.features
    padding = pixels.weight.shape[-1] // 2
    return F.conv2d(pixels.features, pixels.weight, pixels.bias, padding=padding)


def layer_mask_logits(output: FactoredOutput, layer: int = -1) -> Tensor:
    """Mask logits of one decoder layer, (B, Q, h, w)."""
    return torch.stack(mask_logits(output.pixels, output.mask_embed[layer].unbind()))


def mask_logits(
    pixels: PixelFeatures, embeds: Sequence[Tensor], dense: Tensor | None = None
) -> list[Tensor]:
    """Mask logits (N, h, w) of every image.

    Args:
        embeds: one (N, D) per image, the mask embeddings.
        dense: (B, D, h, w), the pixel embedding where it exists already, in the precision that
            the network computed it in. The values then come from it; in the folded way only their
            gradient comes from the convolution.
    """
    if not _folding_pays(pixels, embeds, dense):
        dense = pixel_embedding(pixels) if dense is None else dense
        return [
            torch.einsum("nd,dhw->nhw", rows, maps.to(rows.dtype))
            for rows, maps in zip(embeds, dense.unbind(), strict=True)
        ]
    known = [None] * len(embeds) if dense is None else dense.detach().unbind()
    # unbind, not an index per image: its gradient is one tensor, not one of full size per image.
    return [
        _folded(features, pixels, rows, maps)
        for features, rows, maps in zip(pixels.features.unbind(), embeds, known, strict=True)
    ]


def _folding_pays(pixels: PixelFeatures, embeds: Sequence[Tensor], dense: Tensor | None) -> bool:
    if pixels.weight is None:
        return False
    channels = len(pixels.weight)
    masks = sum(map(len, embeds))
    if dense is None:
        return max(map(len, embeds)) < channels
    return torch.is_grad_enabled() and 0 < masks < FOLD_SHARE * len(embeds) * channels


def _folded(features: Tensor, pixels: PixelFeatures, rows: Tensor, dense: Tensor | None) -> Tensor:
    """Mask logits (N, h, w) of one image's features (K, h, w)."""
    if not len(rows):
        return rows.new_zeros(0, *features.shape[1:])
    assert pixels.weight is not None
    weight = torch.einsum("nd,dkij->nkij", rows, pixels.weight.to(rows.dtype))
    bias = None if pixels.bias is None else rows @ pixels.bias.to(rows.dtype)
    if dense is None:
        return F.conv2d(features[None], weight, bias, padding=weight.shape[-1] // 2)[0]
    with torch.no_grad():
        values = torch.einsum("nd,dhw->nhw", rows, dense.to(rows.dtype))
    return _KnownConv2d.apply(features[None], weight, bias, values[None], dense.dtype)[0]


class _KnownConv2d(torch.autograd.Function):
    """`F.conv2d` that keeps the grid, with its values at hand.

    Backward computes in `dtype`, as autocast would have in the dense way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        values: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(features.to(dtype), weight.to(dtype))
        ctx.dtypes = features.dtype, weight.dtype
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        features, weight = ctx.saved_tensors
        rounded, padding = grad.to(features.dtype), weight.shape[-1] // 2
        return (
            conv2d_input(features.shape, weight, rounded, padding=padding).to(ctx.dtypes[0]),
            conv2d_weight(features, weight.shape, rounded, padding=padding).to(ctx.dtypes[1]),
            grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
            None,
        )
