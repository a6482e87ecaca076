"""MaX-DeepLab's backbone and pixel decoder, S and L: a path of pixels and a path of memory.

Maps between blocks are not activated: each block begins with its ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.checks import check_flag, check_number, check_numbers
from ..registry import MODELS
from .max_attention import AxialAttention, DualPathLayer, conv

DECODER_S = ((32, 1), (8, 1), (4, 1))
DECODER_L = ((8, 1), (4, 1), (8, 1), (32, 4), (8, 3), (4, 3), (8, 3), (32, 3), (8, 3), (4, 3))
"""Nominal stride and blocks of each stage of the pixel decoders. The stride 32 is 16 in truth: the
backbone's last stage leaves its stride out."""


class Block(nn.Module):
    """Residual block: ReLU, and a branch beside a shortcut; 4 * filters come out.

    Args:
        kind: "bottleneck" of 1x1, 3x3, 1x1; "basic" of two 3x3; "axial", axial attention between
            two 1x1.
        expansion: an axial block's channels inside, in filters; its keys have half of them.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kind: str,
        *,
        stride: int = 1,
        expansion: int = 2,
        drop_path: float = 0.0,
        **attention: int,
    ) -> None:
        super().__init__()
        out = 4 * filters
        if kind == "axial":
            inner = expansion * filters
            axial = AxialAttention(inner, inner // 2, inner, **attention)
            layers = [conv(channels, inner), axial, nn.ReLU()]
            layers.append(conv(inner, out, relu=False, zero=True))
        elif kind == "basic":
            layers = [conv(channels, out, 3, stride), conv(out, out, 3, relu=False, zero=True)]
        else:
            layers = [conv(channels, filters), conv(filters, filters, 3, stride)]
            layers.append(conv(filters, out, relu=False, zero=True))
        self.branch = nn.Sequential(*layers)
        same = channels == out and stride == 1
        self.shortcut = nn.Identity() if same else conv(channels, out, 1, stride, relu=False)
        self.drop = DropPath(drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, K, h, w) to (B, 4 * filters, h / stride, w / stride)."""
        maps = maps.relu()
        return self.shortcut(maps) + self.drop(self.branch(maps))


class Stage(nn.Module):
    """Blocks, each with a dual-path layer behind it, or none of them with one."""

    def __init__(self, blocks: Sequence[nn.Module], transformers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks, self.transformers = nn.ModuleList(blocks), nn.ModuleList(transformers)

    def forward(self, maps: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, K, h, w) and memory (B, M, slots)."""
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if self.transformers:
                maps, memory = self.transformers[index](maps, memory)
        return maps, memory


class Fuse(nn.Module):
    """The sum of a map of another stride, brought to a stride's channels and size, and of maps
    that have both."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.project = conv(channels, out, relu=False)

    def forward(self, maps: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Of half the stride, or of twice, to (B, out, h, w), the shape of the others."""
        size = others[0].shape[-2:]
        if maps.shape[-2] > size[0] or maps.shape[-1] > size[1]:
            maps = maps[..., ::2, ::2]
        return sum(others, resize(self.project(maps.relu()), size))


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear; the corner pixels stay where they are."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


@MODELS.register_module()
class MaXDeepLabBackbone(BaseModule):
    """The pixel path (ResNet-50 with an Inception stem, or Wide-ResNet-41, both with axial
    attention at stride 16) and the pixel decoder, with the memory path beside them.

    Images of any size go; on odd ones (641, 1025) the corners of all levels lie on each other.

    Args:
        large: whether it is MaX-DeepLab-L; else it is S.
        depths: blocks of each stage; None: (3, 4, 6, 3), of L (3, 3, 6, 3, 3).
        width: channels of the stem; all others follow from it. A multiple of 8.
        slots: N, number of masks.
        reach: relative positions are known for axes of up to this many pixels at stride 16.
        drop_path: share of images for which a residual branch of the last stage is left out in
            training; less in stages of finer strides, and of S none finer than 16.
    """

    def __init__(
        self,
        *,
        large: bool = False,
        depths: Sequence[int] | None = None,
        width: int = 64,
        slots: int = 128,
        reach: int = 255,
        drop_path: float = 0.2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_flag("large", large)
        depths = depths or ((3, 3, 6, 3, 3) if large else (3, 4, 6, 3))
        check_numbers("depths", depths, 1)
        if len(depths) != 4 + large:
            raise ValueError(f"depths must have {4 + large} numbers, got {list(depths)}")
        if check_number("width", width, 8, whole=True) % 8:
            raise ValueError(f"width must be a multiple of 8, got {width}")
        self.large, self.width = large, width
        self.reach = check_number("reach", reach, 1, whole=True)
        self.drop_path = check_number("drop_path", drop_path, 0, 0.99)
        self.memory_channels = memory = (8 if large else 4) * width
        check_number("slots", slots, 1, whole=True)
        self.memory = nn.Parameter(torch.randn(1, memory, slots))
        stem = [conv(3, width, 3, 2)]
        if not large:
            stem += [conv(width, width, 3), conv(width, 2 * width, 3)]
        self.stem = nn.Sequential(*stem)
        strides = (2, 2, 4, 8, 16, 32)[not large :]
        channels = width if large else 2 * width
        self.stages, self.fuses, self.decoder = (nn.ModuleList() for _ in range(3))
        for depth, before, after in zip(depths, strides, strides[1:], strict=False):
            self.stages.append(self.stage(channels, depth, before, after))
            channels = width * after
        self.steps = DECODER_L if large else DECODER_S
        for stride, depth in self.steps:
            out = width * stride
            self.fuses.append(nn.Identity() if out == channels else Fuse(channels, out))
            self.decoder.append(self.stage(out, depth, stride, stride))
            channels = out
        self.class_feature, self.mask_feature = (conv(memory, memory, flat=True) for _ in range(2))

    def stage(self, channels: int, depth: int, before: int, after: int) -> Stage:
        """A stage between two nominal strides; width * after channels come out."""
        blocks, layers, out = [], [], self.width * after
        for index in range(depth):
            current = after if index else before
            is_late = current >= (4 if self.large else 16)
            rate = self.drop_path * (log2(current) - 1) / 4 if is_late else 0.0
            block = Block(
                out if index else channels,
                out // 4,
                "axial" if current >= 16 else "basic" if self.large else "bottleneck",
                stride=2 if not index and before < after <= 16 else 1,
                expansion=4 if self.large else 2,
                drop_path=rate,
                reach=self.reach,
            )
            blocks.append(block)
            if after >= (16 if self.large else 32):
                layer = DualPathLayer(
                    out,
                    self.memory_channels,
                    width=self.width * (4 if self.large else 2) * min(before, 16) // 16,
                    feedforward_channels=32 * self.width,
                    drop_path=rate,
                )
                layers.append(layer)
        return Stage(blocks, layers)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to the last map at stride 4; the maps that an auxiliary semantic
        head takes, fine to coarse (S: strides 4, 8 and 16, L: 4); and the slots' features for
        classes and for masks, each (B, M, N).

        Raises:
            ValueError: the image is larger than the relative positions reach.
        """
        height, width = images.shape[-2:]
        if max(height, width) > 16 * self.reach:
            raise ValueError(
                f"an image of {height} x {width} is too large for MaXDeepLabBackbone, whose "
                f"relative positions reach {16 * self.reach} pixels; resize it, or set reach"
            )
        maps, memory = self.stem(images), self.memory.expand(len(images), -1, -1)
        levels: dict[int, list[Tensor]] = {}  # by their channels, which tell the stride
        for stage in self.stages:
            maps, memory = stage(maps, memory)
            levels[maps.shape[1]] = [maps]
        for (stride, _), fuse, stage in zip(self.steps, self.fuses, self.decoder, strict=True):
            if isinstance(fuse, Fuse):
                maps = fuse(maps, levels[self.width * stride][-2:])
            maps, memory = stage(maps, memory)
            levels[maps.shape[1]].append(maps)
        fine, *coarser = (levels[self.width * stride] for stride in (4, 8, 32))
        semantic = [fine[-2]] if self.large else [level[0] for level in (fine, *coarser)]
        activated = [one.relu() for one in (maps, *semantic)]
        return *activated, self.class_feature(memory), self.mask_feature(memory)
