"""Pixel decoders: backbone features to a pixel embedding at stride 4 (paper, Section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_number, check_numbers, has_hooks
from .position import SinePositionalEncoding
from .structures import PixelFeatures
from .transformer import TransformerLayer, init_matrices, run


def init_conv(conv: nn.Conv2d) -> None:
    """The "Xavier" fill of Caffe2: uniform by fan-in, zero bias."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def is_plain(conv: nn.Module) -> bool:
    """Whether a convolution is its weight and bias: no other class, and no hooks, which have to
    see it called."""
    return type(conv) is nn.Conv2d and not has_hooks(conv)


class ConvNorm(nn.Module):
    """Convolution without bias, group norm, and a ReLU if asked for.

    `conv` and `finish` are called one by one, since backward keeps no more than the result of
    `conv`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, groups: int, relu: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.norm = nn.GroupNorm(groups, out_channels)
        self.relu = relu
        init_conv(self.conv)

    def finish(self, x: Tensor) -> Tensor:
        """What follows the convolution."""
        x = self.norm(x)
        return F.relu(x, inplace=True) if self.relu else x


def next_level(
    coarse: ConvNorm, lateral: ConvNorm, output: ConvNorm, coarser: Tensor, finer: Tensor
) -> Tensor:
    """What the output convolution of a level gives, from that of the next coarser level and from
    the lateral convolution's.

    It ends with the convolution because checkpointing computes again what that takes, and stops
    before the convolution itself.
    """
    x = F.interpolate(coarse.finish(coarser), size=finer.shape[-2:], mode="nearest")
    x += lateral.finish(finer)
    return output.conv(x)


class FPNPixelDecoder(nn.Module):
    """Top-down feature pyramid: nearest upsampling, sum, 3x3 convolution.

    The coarsest level has an output convolution only; every finer one has a 1x1 lateral
    convolution without activation, too. A last 3x3 convolution gives the pixel embedding.

    Args:
        in_channels: channels of the backbone's levels, fine to coarse.
        with_cp: whether to save more memory by computing all convolutions of the pyramid, and the
            encoder's layers one by one, again in backward.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        channels: int = 256,
        mask_channels: int = 256,
        norm_groups: int = 32,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        check_numbers("in_channels", in_channels, 1, least=2)
        for name, number in (("channels", channels), ("mask_channels", mask_channels)):
            check_number(name, number, 1, whole=True)
        check_number("norm_groups", norm_groups, 1, whole=True)
        if channels % norm_groups:
            raise ValueError(
                f"channels must be a multiple of norm_groups={norm_groups}, got {channels}"
            )
        *fine, coarsest = in_channels
        self.level_channels = list(in_channels)
        self.lateral_convs = nn.ModuleList(
            ConvNorm(c, channels, kernel_size=1, groups=norm_groups, relu=False) for c in fine
        )
        self.output_convs = nn.ModuleList(
            ConvNorm(c, channels, kernel_size=3, groups=norm_groups, relu=True)
            for c in [channels] * len(fine) + [coarsest]
        )
        self.mask_features = nn.Conv2d(channels, mask_channels, 3, padding=1)
        init_conv(self.mask_features)
        self.memory_channels = coarsest

    def forward(self, features: Sequence[Tensor]) -> tuple[PixelFeatures, Tensor]:
        """Backbone features, fine to coarse.

        Returns:
            what makes the pixel embedding (B, D, h, w) on the finest grid, and the features that
            the transformer decoder attends to (here the coarsest input level).
        """
        self.check_levels(features)
        return self.pixels(features, features[-1]), features[-1]

    def check_levels(self, features: Sequence[Tensor]) -> None:
        """Raise ValueError unless the levels and their channels are those the decoder is for."""
        found = [level.shape[1] for level in features]
        if found != self.level_channels:
            raise ValueError(
                f"expected {len(self.level_channels)} feature levels of {self.level_channels} "
                f"channels (in_channels), got {len(found)} of {found}"
            )

    def pixels(self, features: Sequence[Tensor], coarsest: Tensor) -> PixelFeatures:
        """Pixel features from the backbone's levels, with `coarsest` in place of the last."""
        x = run(self.top_down, self.with_cp, coarsest, *features[:-1])
        if not is_plain(self.mask_features):
            return PixelFeatures(self.mask_features(x))
        return PixelFeatures(x, self.mask_features.weight, self.mask_features.bias)

    def top_down(self, coarsest: Tensor, *features: Tensor) -> Tensor:
        """The coarsest level and the finer ones, fine to coarse, to (B, channels, h, w).

        For backward, only the results of the convolutions are kept; norms, activations and sums
        are computed again, with the weights that the modules have then: where
        `torch.func.functional_call` lends them others, the gradients are wrong.
        """
        laterals, outputs = (
            cast(list[ConvNorm], list(convs)) for convs in (self.lateral_convs, self.output_convs)
        )
        x = outputs[-1].conv(coarsest)
        for level in reversed(range(len(laterals))):
            step = partial(next_level, outputs[level + 1], laterals[level], outputs[level])
            x = run(step, True, x, laterals[level].conv(features[level]))
        return outputs[0].finish(x)


class TransformerEncoderPixelDecoder(FPNPixelDecoder):
    """`FPNPixelDecoder` behind a transformer encoder on the coarsest level ("+ 6 Enc").

    The coarsest level is projected to `channels` and encoded; its output convolution and the
    transformer decoder both work on the encoder's output. No norm follows the last layer.

    Args:
        pyramid: further arguments of `FPNPixelDecoder`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        channels: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
        **pyramid: Any,
    ) -> None:
        super().__init__([*in_channels[:-1], channels], channels=channels, **pyramid)
        check_number("num_layers", num_layers, 1, whole=True)
        self.level_channels = list(in_channels)
        self.input_proj = nn.Conv2d(in_channels[-1], channels, 1)
        init_conv(self.input_proj)
        self.position = SinePositionalEncoding(channels)
        self.encoder_layers = nn.ModuleList(
            TransformerLayer(
                channels,
                num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                cross_attention=False,
            )
            for _ in range(num_layers)
        )
        init_matrices(self.encoder_layers)

    def forward(self, features: Sequence[Tensor]) -> tuple[PixelFeatures, Tensor]:
        """See `FPNPixelDecoder.forward`; the memory is the encoder's output (B, channels, h, w)."""
        self.check_levels(features)
        x = self.input_proj(features[-1])
        position = self.position(x).to(x.dtype).flatten(2).transpose(1, 2)
        tokens = x.flatten(2).transpose(1, 2)
        for layer in self.encoder_layers:
            tokens = run(layer, self.with_cp, tokens, position)
        memory = tokens.transpose(1, 2).reshape(x.shape)
        return self.pixels(features, memory), memory
