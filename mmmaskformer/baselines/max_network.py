"""MaX-DeepLab's heads: slots' classes and masks, and the semantic branch that is trained beside.

Batch norm is deeplab2's; the semantic branch is its Panoptic-DeepLab's, with plain ASPP.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import predictor, separable, starting_at_zero
from .max_attention import NORM, conv
from .max_backbone import resize
from .panoptic_deeplab_network import Branch

NO_OBJECT = 0.9
"""Probability of "no object" at the start."""


def with_norm(module: nn.Module) -> nn.Module:
    """The module, whose batch norms are deeplab2's now."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps, part.momentum = NORM["eps"], NORM["momentum"]
    return module


class MaXDeepLab(nn.Module):
    """Class logits and mask logits of the slots.

    A slot's mask kernel is multiplied with the pixels' embedding of length 1, and one norm for all
    slots scales the product, so that nothing tells the slots apart but their kernels.

    Args:
        in_channels: of the pixels and of the features for classes and for masks.
        embed_channels: of a kernel; `pixel_channels`: before the pixels' last convolution.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        num_classes: int,
        embed_channels: int = 128,
        pixel_channels: int = 256,
    ) -> None:
        super().__init__()
        if len(in_channels) != 3:
            raise ValueError(f"MaXDeepLab needs in_channels of 3 inputs, got {list(in_channels)}")
        pixels, classes, masks = in_channels
        self.pixel_head = nn.Sequential(
            with_norm(separable(pixels, pixel_channels, 5)),
            nn.Conv2d(pixel_channels, embed_channels, 1),
            nn.BatchNorm2d(embed_channels, **NORM),
        )
        self.mask_kernel = conv(masks, embed_channels, relu=False, flat=True)
        self.classifier = starting_at_zero(nn.Conv1d(classes, num_classes + 1, 1))
        nn.init.normal_(self.classifier.weight, std=0.01)
        self.prior = log(num_classes * NO_OBJECT / (1 - NO_OBJECT))
        self.mask_norm = nn.BatchNorm2d(1, **NORM)
        nn.init.constant_(self.mask_norm.weight, 0.1)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, K, h, w) and two features (B, M, N) of the slots.

        Returns:
            class logits (B, N, C + 1), mask logits (B, N, h, w), and the pixels' embedding
            (B, D, h, w) of length 1.
        """
        pixels, classes, masks = features
        embedding = F.normalize(self.pixel_head(pixels), dim=1)
        products = torch.einsum("bdn,bdhw->bnhw", self.mask_kernel(masks), embedding)
        mask_logits = self.mask_norm(products.flatten(1, 2)[:, None])[:, 0].view_as(products)
        logits = self.classifier(classes).transpose(1, 2)
        logits[..., -1] += self.prior  # beside the bias, as it is not learned
        return logits, mask_logits, embedding


class ImageMean(nn.Module):
    """The mean of a map at each of its pixels, so that batch norm sees more than one value of an
    image."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, K, h, w) to the same."""
        return maps.mean((2, 3), keepdim=True).expand_as(maps)


class SemanticBranch(Branch):
    """Panoptic-DeepLab's semantic branch as deeplab2 has it: the mean of the image has a norm and
    no bias, and the corner pixels stay in place where maps are resized.

    Args:
        options: `projections` and `dilations` of `Branch`.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, **options: Any) -> None:
        super().__init__(
            in_channels,
            channels,
            aspp_channels=channels,
            is_separable=True,
            aspp_is_separable=False,
            **options,
        )
        self.aspp.pooled = nn.Sequential(ImageMean(), conv(in_channels[-1], channels))

    def resize(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """See `Branch.resize`."""
        return resize(maps, size)


class MaXDeepLabSemantic(nn.Module):
    """Class logits of pixels, for training only.

    Args:
        in_channels: of levels at strides 4, 8 and 16, or of one at stride 4, which gets no branch.
        channels: of the branch; `head_channels`: before the last convolution.
        projections, dilations: of the branch, see `panoptic_deeplab_network.Branch`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        num_classes: int,
        channels: int = 256,
        head_channels: int = 256,
        projections: Sequence[int] = (32, 64),
        dilations: Sequence[int] = (6, 12, 18),
    ) -> None:
        super().__init__()
        if len(in_channels) not in (1, 3):
            raise ValueError(f"MaXDeepLabSemantic takes 1 or 3 levels, not {list(in_channels)}")
        deep = len(in_channels) == 3
        branch = dict(projections=projections, dilations=dilations)
        self.branch = SemanticBranch(in_channels, channels, **branch) if deep else None
        last = predictor(head_channels, num_classes, std=0.01)
        width = channels if deep else in_channels[0]
        self.head = nn.Sequential(separable(width, head_channels, 5), last)
        with_norm(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Levels, fine to coarse, to (B, C, h, w) at the size of the first."""
        return self.head(self.branch(features) if self.branch else features[0])
