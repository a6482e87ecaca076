"""Panoptic-DeepLab's decoder: two branches of one shape over the same backbone.

It is the shape of detectron2's version; with `separable` convolutions it is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.checks import check_flag, check_number, check_numbers
from .layers import conv_norm, predictor, resize, separable, starting_at_zero


def fusing(channels: int, out: int, is_separable: bool, middle: int | None = None) -> nn.Sequential:
    """One separable 5x5, or two plain 3x3 with `middle` channels between them; None: `out`."""
    if is_separable:
        return separable(channels, out, 5)
    middle = middle or out
    return nn.Sequential(conv_norm(channels, middle, 3), conv_norm(middle, out, 3))


class ASPP(nn.Module):
    """One 1x1, three dilated 3x3 and the mean of the image, side by side, and a 1x1 of them all.

    The mean's convolution has a bias and no norm.
    """

    def __init__(
        self, channels: int, out: int, dilations: Sequence[int], is_separable: bool
    ) -> None:
        super().__init__()
        dilated = separable if is_separable else conv_norm
        self.branches = nn.ModuleList(
            [conv_norm(channels, out, 1), *(dilated(channels, out, 3, d) for d in dilations)]
        )
        pooled = starting_at_zero(nn.Conv2d(channels, out, 1))
        nn.init.kaiming_uniform_(pooled.weight, a=1)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), pooled, nn.ReLU())
        self.project = conv_norm(out * (len(dilations) + 2), out, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, K, h, w) to (B, out, h, w)."""
        parts = [branch(features) for branch in self.branches]
        parts.append(self.pooled(features).expand_as(parts[0]))
        return self.dropout(self.project(torch.cat(parts, 1)))


class Branch(nn.Module):
    """ASPP on the coarsest level, then two finer levels, each joined and mixed.

    Args:
        in_channels: of the three levels, fine to coarse.
        projections: channels to which the finer two are reduced, fine to coarse.
        aspp_is_separable: None: as all else.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        projections: Sequence[int],
        aspp_channels: int,
        dilations: Sequence[int],
        is_separable: bool,
        aspp_is_separable: bool | None = None,
    ) -> None:
        super().__init__()
        in_aspp = is_separable if aspp_is_separable is None else aspp_is_separable
        self.aspp = ASPP(in_channels[-1], aspp_channels, dilations, in_aspp)
        self.projects, self.mixes = nn.ModuleList(), nn.ModuleList()
        width = aspp_channels
        for level, projection in zip(in_channels[-2::-1], projections[::-1], strict=True):
            self.projects.append(conv_norm(level, projection, 1))
            self.mixes.append(fusing(projection + width, channels, is_separable))
            width = channels

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Three levels, fine to coarse, to (B, channels, h, w) at the size of the first."""
        maps = self.aspp(features[-1])
        finer = zip(features[-2::-1], self.projects, self.mixes, strict=True)
        for level, project, mix in finer:
            maps = mix(torch.cat([project(level), self.resize(maps, level.shape[-2:])], 1))
        return maps

    def resize(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """How a map comes to the size of a finer level."""
        return resize(maps, size)


class PanopticDeepLab(nn.Module):
    """The semantic branch, and the instance branch with its heat map and offsets.

    Args:
        in_channels: of three levels, fine to coarse, the first at stride 4.
        channels, instance_channels: width of the two branches.
        head_channels, instance_head_channels: width before their last convolutions.
        projections: channels to which the finer two levels are reduced, fine to coarse.
        dilations: of the ASPP (stride 16: 6, 12, 18; stride 32: 3, 6, 9).
        separable: whether convolutions are separable, as the paper's; the heat map's are not.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        num_classes: int,
        channels: int = 256,
        instance_channels: int = 128,
        head_channels: int = 256,
        instance_head_channels: int = 32,
        projections: Sequence[int] = (32, 64),
        aspp_channels: int = 256,
        dilations: Sequence[int] = (6, 12, 18),
        separable: bool = True,
    ) -> None:
        super().__init__()
        check_number("num_classes", num_classes, 2, whole=True)
        check_flag("separable", separable)
        widths = channels, instance_channels, head_channels, instance_head_channels, aspp_channels
        check_numbers("channels, instance_, head_, instance_head_ and aspp_channels", widths, 1)
        for name, values in (("projections", projections), ("dilations", dilations)):
            check_numbers(name, values, 1)
        if len(in_channels) != 3 or len(projections) != 2:
            raise ValueError(
                "Panoptic-DeepLab takes three levels and two projections, got "
                f"in_channels={list(in_channels)} and projections={list(projections)}"
            )
        options: dict[str, Any] = dict(
            projections=projections,
            aspp_channels=aspp_channels,
            dilations=dilations,
            is_separable=separable,
        )
        self.semantic = Branch(in_channels, channels, **options)
        self.semantic_head = fusing(channels, head_channels, separable, channels)
        self.classifier = predictor(head_channels, num_classes)
        self.instance = Branch(in_channels, instance_channels, **options)
        inner, last = instance_channels, instance_head_channels
        self.center_head = fusing(inner, last, False, inner)
        self.center = predictor(last, 1)
        self.offset_head = fusing(inner, last, separable, inner)
        self.offset = predictor(last, 2)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Three levels, fine to coarse, to maps at the size of the first.

        Returns:
            class logits (B, C, h, w), and (B, 3, h, w): heat, and y and x from a pixel to its
            centre in pixels of the input.
        """
        logits = self.classifier(self.semantic_head(self.semantic(features)))
        maps = self.instance(features)
        offset = 4 * self.offset(self.offset_head(maps))
        return logits, torch.cat([self.center(self.center_head(maps)), offset], 1)
