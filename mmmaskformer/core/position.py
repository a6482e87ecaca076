"""Sine positional encoding of a feature map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .checks import check_number


class SinePositionalEncoding(nn.Module):
    """Fixed 2-D sine encoding: the first half of the channels encodes y, the second x.

    Positions are counted from 1, divided by (last + 1e-6) and scaled to 2 pi. There is no
    padding mask: padded positions are positions like any other.
    """

    def __init__(self, channels: int, *, temperature: float = 10000.0) -> None:
        super().__init__()
        if check_number("channels", channels, 4, whole=True) % 4:
            raise ValueError(f"channels must be a multiple of 4, got {channels}")
        self.channels = channels
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) features -> (1, channels, h, w) float32 encoding on their device."""
        height, width = features.shape[-2:]
        half = self.channels // 2
        pair = torch.arange(half, device=features.device).div(2, rounding_mode="floor")
        period = self.temperature ** (2 * pair.float() / half)

        def encode(length: int) -> Tensor:
            position = torch.arange(1, length + 1, device=features.device, dtype=torch.float32)
            angle = (position / (length + 1e-6) * 2 * math.pi)[:, None] / period
            return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

        y = encode(height).T[:, :, None].expand(half, height, width)
        x = encode(width).T[:, None, :].expand(half, height, width)
        return torch.cat((y, x))[None]
