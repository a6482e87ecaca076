"""MaX-DeepLab's attention: along the axes of a map, and between pixels and memory.

The numbers are those of deeplab2's version: batch norm stands on everything, on the logits and on
what attention retrieves, too.
"""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

NORM: dict[str, Any] = dict(eps=1e-3, momentum=0.01)


def conv(
    channels: int,
    out: int,
    size: int = 1,
    stride: int = 1,
    *,
    relu: bool = True,
    zero: bool = False,
    flat: bool = False,
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; an odd `size` keeps the map's size.

    Args:
        zero: whether the norm's weight starts at 0, as at the end of a residual branch.
        flat: of sequences (B, K, N), not of maps.
    """
    make, norm = (nn.Conv1d, nn.BatchNorm1d) if flat else (nn.Conv2d, nn.BatchNorm2d)
    layers = [make(channels, out, size, stride, size // 2, bias=False), norm(out, **NORM)]
    if zero:
        nn.init.zeros_(layers[1].weight)
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class AxisAttention(nn.Module):
    """Self-attention of sequences, with relative positions in the logits and in the values.

    A logit is the sum of query and key, query and position, key and position, each normalised
    for each head. Positions are the distance from the query to the key; heads share them.

    Args:
        keys, values: channels of all heads together.
        reach: positions of sequences up to this length.
    """

    def __init__(
        self, channels: int, keys: int, values: int, *, reach: int = 255, heads: int = 8
    ) -> None:
        super().__init__()
        self.sizes, self.heads, self.reach = (keys, keys, values), heads, reach
        self.qkv = conv(channels, 2 * keys + values, relu=False, flat=True)
        self.logit_norm = nn.BatchNorm2d(3 * heads, **NORM)
        self.value_norm = nn.BatchNorm1d(2 * values, **NORM)
        rows = 2 * reach - 1
        self.query_table = nn.Parameter(torch.randn(rows, keys // heads))
        self.key_table = nn.Parameter(torch.randn(rows, keys // heads))
        self.value_table = nn.Parameter(torch.randn(rows, values // heads))

    def forward(self, sequences: Tensor) -> Tensor:
        """(N, K, L) to (N, values, L)."""
        parts = self.qkv(sequences).split(self.sizes, 1)
        query, key, value = (part.unflatten(1, (self.heads, -1)) for part in parts)
        steps = torch.arange(sequences.shape[-1], device=sequences.device)
        distance = steps - steps[:, None] + self.reach - 1
        logits = [
            torch.einsum("nhdl,nhdm->nhlm", query, key),
            torch.einsum("nhdl,lmd->nhlm", query, self.query_table[distance]),
            torch.einsum("nhdm,lmd->nhlm", key, self.key_table[distance]),
        ]
        total = self.logit_norm(torch.cat(logits, 1)).unflatten(1, (3, -1)).sum(1)
        weight = total.softmax(-1)
        found = [
            torch.einsum("nhlm,nhdm->nhdl", weight, value),
            torch.einsum("nhlm,lmd->nhdl", weight, self.value_table[distance]),
        ]
        return self.value_norm(torch.cat(found, 1).flatten(1, 2)).unflatten(1, (2, -1)).sum(1)


class AxialAttention(nn.Module):
    """Attention along the height, then along the width, of a map."""

    def __init__(self, channels: int, keys: int, values: int, **options: int) -> None:
        super().__init__()
        self.height = AxisAttention(channels, keys, values, **options)
        self.width = AxisAttention(values, keys, values, **options)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, K, h, w) to (B, values, h, w)."""
        maps = along_rows(self.height, maps.transpose(2, 3)).transpose(2, 3)
        return along_rows(self.width, maps)


def along_rows(attention: AxisAttention, maps: Tensor) -> Tensor:
    """Attention of maps (B, K, h, w), each of whose rows is a sequence."""
    rows = attention(maps.transpose(1, 2).flatten(0, 1))
    return rows.unflatten(0, (len(maps), -1)).transpose(1, 2)


class NormedAttention(nn.Module):
    """Attention whose logits are normalised for each head, not scaled; norm and ReLU come after."""

    def __init__(self, values: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.logit_norm = nn.BatchNorm2d(heads, **NORM)
        self.value_norm = nn.BatchNorm1d(values, **NORM)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, keys, L), (B, keys, M) and (B, values, M) to (B, values, L)."""
        query, key, value = (part.unflatten(1, (self.heads, -1)) for part in (query, key, value))
        logits = torch.einsum("bhdl,bhdm->bhlm", query, key)
        weight = self.logit_norm(logits).softmax(-1)
        found = torch.einsum("bhlm,bhdm->bhdl", weight, value)
        return self.value_norm(found.flatten(1, 2)).relu()


class DualPathLayer(nn.Module):
    """Memory attends to pixels and memory in one softmax, and pixels attend to memory.

    Args:
        width: channels of the keys; values and what is attended have twice as many.
        drop_path: share of images for which a residual branch is left out in training.
    """

    def __init__(
        self,
        pixel_channels: int,
        memory_channels: int,
        *,
        width: int = 128,
        feedforward_channels: int = 2048,
        drop_path: float = 0.0,
        heads: int = 8,
    ) -> None:
        super().__init__()
        inner = 2 * width
        self.sizes = (width, width, inner)
        self.pixel_in, self.memory_in = (
            conv(channels, inner, flat=True) for channels in (pixel_channels, memory_channels)
        )
        self.pixel_qkv, self.memory_qkv = (
            conv(inner, 2 * inner, relu=False, flat=True) for _ in range(2)
        )
        self.pixel_attention, self.memory_attention = (
            NormedAttention(inner, heads) for _ in range(2)
        )
        last = dict(relu=False, zero=True, flat=True)
        self.pixel_out = conv(inner, pixel_channels, **last)
        self.memory_out = conv(inner, memory_channels, **last)
        self.feedforward = nn.Sequential(
            conv(memory_channels, feedforward_channels, flat=True),
            conv(feedforward_channels, memory_channels, **last),
        )
        self.drop = DropPath(drop_path)

    def forward(self, pixels: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, K, h, w) before their activation, and memory (B, M, slots) after it."""
        flat = self.pixel_qkv(self.pixel_in(pixels.relu().flatten(2)))
        query, key, value = flat.split(self.sizes, 1)
        slots = self.memory_qkv(self.memory_in(memory)).split(self.sizes, 1)
        everything = (torch.cat(pair, 2) for pair in ((key, slots[1]), (value, slots[2])))
        found = self.memory_out(self.memory_attention(slots[0], *everything))
        memory = (memory + self.drop(found)).relu()
        memory = (memory + self.drop(self.feedforward(memory))).relu()
        given = self.pixel_out(self.pixel_attention(query, slots[1], slots[2]))
        return pixels + self.drop(given).view_as(pixels), memory
