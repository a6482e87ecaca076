"""Layers that the systems of this room share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F


def conv_norm(
    channels: int, out: int, size: int, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size, without bias; batch norm; ReLU."""
    padding = dilation * (size // 2)
    conv = nn.Conv2d(
        channels, out, size, padding=padding, dilation=dilation, groups=groups, bias=False
    )
    # Separable ones and dense ones start as in detectron2.
    if groups > 1:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.kaiming_uniform_(conv.weight, a=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


def separable(channels: int, out: int, size: int, dilation: int = 1) -> nn.Sequential:
    """A convolution of each channel, and one of each pixel."""
    depthwise = conv_norm(channels, channels, size, dilation, channels)
    pointwise = conv_norm(channels, out, 1)
    for weight in pointwise[:1].parameters():
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(depthwise, pointwise)


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, half-pixel centres."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


Conv = TypeVar("Conv", nn.Conv1d, nn.Conv2d)


def starting_at_zero(conv: Conv) -> Conv:
    """The convolution, whose bias is 0 now."""
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def predictor(channels: int, out: int, std: float = 0.001) -> nn.Conv2d:
    """The last 1x1, normally distributed."""
    conv = starting_at_zero(nn.Conv2d(channels, out, 1))
    nn.init.normal_(conv.weight, std=std)
    return conv
