"""HMSANet's network (Tao et al., 2020) in the shape of DeepLabV3+, as a head of mmseg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ..core.checks import check_numbers
from ..registry import MODELS
from .layers import resize


def conv_block(channels: int, out: int, size: int, norm: Any, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the size, without bias; norm, None: batch norm; ReLU."""
    padding = dilation * (size // 2)
    conv = nn.Conv2d(channels, out, size, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, build_norm_layer(norm or dict(type="BN"), out)[1], nn.ReLU())


def pixel_classifier(channels: int, middle: int, out: int, norm: Any) -> nn.Sequential:
    """Two 3x3 and a 1x1 without bias: classes of pixels, or their attention."""
    both = [conv_block(width, middle, 3, norm) for width in (channels, middle)]
    return nn.Sequential(*both[0], *both[1], nn.Conv2d(middle, out, 1, bias=False))


@MODELS.register_module()
class HMSANetHead(BaseDecodeHead):
    """A pyramid of dilated convolutions on the last level, joined with a fine level, both reduced
    by 1x1 without norm, and two 3x3 before the classes of pixels.

    The attention of `ScaleAttention` starts from what the 3x3 start from. In training a batch
    needs two images, as the mean of each image is normalised over the batch.

    Args:
        in_channels: of a fine level and of the last one (strides 4 and 8).
        pyramid_channels: of each of its branches.
        reduced_channels: of the fine level and of the pyramid where they are joined.
        width: of the two 3x3.
        dilations: of the pyramid.
        base: further arguments of mmseg's `BaseDecodeHead`; `in_index` names the two levels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        pyramid_channels: int = 256,
        reduced_channels: Sequence[int] = (48, 256),
        width: int = 256,
        dilations: Sequence[int] = (12, 24, 36),
        **base: Any,
    ) -> None:
        check_numbers("dilations", dilations, 1)
        for name, two in ("in_channels", in_channels), ("reduced_channels", reduced_channels):
            check_numbers(name, two, 1)
            if len(two) != 2:
                raise ValueError(f"{name} must be those of two levels, got {list(two)}")
        base = dict(input_transform="multiple_select", dropout_ratio=0, init_cfg=None) | base
        super().__init__(in_channels, sum(reduced_channels), **base)
        (fine, last), (less_fine, less) = in_channels, reduced_channels
        norm, out = self.norm_cfg, pyramid_channels
        branches = [conv_block(last, out, 3, norm, dilation) for dilation in dilations]
        self.branches = nn.ModuleList([conv_block(last, out, 1, norm), *branches])
        self.pooled = conv_block(last, out, 1, norm)
        self.coarse = nn.Conv2d(out * (len(dilations) + 2), less, 1, bias=False)
        self.fine = nn.Conv2d(fine, less_fine, 1, bias=False)
        self.conv_seg = pixel_classifier(self.channels, width, self.out_channels, norm)
        for weight in self.conv_seg[::3].parameters():
            nn.init.kaiming_normal_(weight)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The backbone's levels to class logits (B, C, h, w) at the fine one's size."""
        fine, last = self._transform_inputs(features)
        parts = [branch(last) for branch in self.branches]
        pooled = self.pooled(last.mean((2, 3), keepdim=True)).expand_as(parts[0])
        coarse = resize(self.coarse(torch.cat([pooled, *parts], 1)), fine.shape[-2:])
        return self.cls_seg(torch.cat([self.fine(fine), coarse], 1))
