"""The paper's per-pixel classification baselines (paper, Section 4.1 and Table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_number
from .folded_masks import pixel_embedding
from .predictor import PixelDecoder, QueryDecoder, QueryPredictor
from .resizing import upsample_by_4


class PerPixelBaseline(nn.Module):
    """PerPixelBaseline: the pixel embedding and a linear classifier of pixels.

    Args:
        pixel_decoder: maps backbone features to (pixel embedding, memory).
        mask_channels: channels of the pixel embedding.
    """

    def __init__(
        self, pixel_decoder: nn.Module, *, num_classes: int, mask_channels: int = 256
    ) -> None:
        super().__init__()
        check_classes(num_classes)
        self.pixel_decoder = pixel_decoder
        self.classifier = nn.Conv2d(mask_channels, num_classes, 1)
        nn.init.kaiming_normal_(self.classifier.weight, mode="fan_out", nonlinearity="relu")
        if self.classifier.bias is not None:
            nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Backbone features (fine to coarse) to class logits (1, B, C, h, w)."""
        pixels, _ = self.pixel_decoder(features)
        return self.classifier(pixel_embedding(pixels))[None]


class PerPixelBaselinePlus(QueryPredictor):
    """PerPixelBaseline+: MaskFormer's network with one query per class and no matching.

    Query c always answers for class c: its mask logits are the class's pixel logits.
    """

    def __init__(
        self,
        pixel_decoder: PixelDecoder,
        transformer_decoder: QueryDecoder,
        *,
        num_classes: int,
        **options: Any,
    ) -> None:
        check_classes(num_classes)
        super().__init__(pixel_decoder, transformer_decoder, num_queries=num_classes, **options)

    def forward(self, features: Sequence[Tensor], all_layers: bool | None = None) -> Tensor:
        """Backbone features to class logits (L, B, C, h, w); `all_layers` as in `decode`."""
        decoded, pixels = self.decode(features, all_layers)
        return torch.einsum("lbqd,bdhw->lbqhw", self.mask_embed(decoded), pixel_embedding(pixels))


class PerPixelCriterion(nn.Module):
    """Cross-entropy at the labels' resolution, mean over pixels that are not ignored."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = check_number("PerPixelCriterion.loss_weight", loss_weight)

    def forward(self, logits: Tensor, classes: Tensor) -> dict[str, Tensor]:
        """Weighted `loss_ce` of the last layer, `d0.loss_ce`, ... of the layers before it.

        The loss of a batch without a single valid pixel is 0.

        Args:
            logits: (L, B, C, h, w) at stride 4.
            classes: (B, H, W) int64 in [0, C), or C where nothing is labelled; see
                `targets.class_map`.

        Raises:
            ValueError: sizes that do not fit.
        """
        num_classes = logits.shape[2]
        valid = (classes < num_classes).sum().clamp(min=1)
        losses = {}
        for layer, coarse in enumerate(logits):
            full = upsample_logits(coarse.float(), classes.shape[-2:])
            total = pixel_cross_entropy(full, classes).sum()
            prefix = "" if layer == len(logits) - 1 else f"d{layer}."
            losses[f"{prefix}loss_ce"] = self.loss_weight * total / valid
        return losses


def pixel_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy (B, H, W) of logits (B, C, H, W); 0 where the class is C.

    It is what `F.cross_entropy` computes, whose kernel for maps is not deterministic on a GPU.
    """
    ignored = classes >= logits.shape[1]
    right = logits.log_softmax(1).gather(1, classes.masked_fill(ignored, 0)[:, None])[:, 0]
    return -right.masked_fill(ignored, 0)


def upsample_logits(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (B, C, h, w) upsampled by exactly 4, cut to the input's `size` = (H, W).

    Raises:
        ValueError: the grid is not that of an input of this size.
    """
    check_grid(logits.shape[-2:], size)
    height, width = size
    return upsample_by_4(logits)[..., :height, :width]


def check_classes(num_classes: int) -> None:
    """Raise ValueError unless there is something to tell apart."""
    if num_classes == 1:
        raise ValueError(
            "num_classes must be at least 2, got 1: a per-pixel baseline has no 'no object' to "
            "tell the class from; give the background a class, or use MaskFormerHead"
        )
    check_number("num_classes", num_classes, 2, whole=True)


def check_grid(grid: Sequence[int], size: Sequence[int]) -> None:
    """Raise ValueError unless `grid` is that of an input of `size` = (H, W) at stride 4."""
    if tuple(-(-int(s) // 4) for s in size) != tuple(grid):
        raise ValueError(
            f"logits of {tuple(grid)} do not belong to an input of {tuple(size)} at stride 4"
        )
