"""Queries to class logits and mask embeddings (paper, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_number
from .pixel_decoder import init_conv
from .position import SinePositionalEncoding
from .structures import FactoredOutput, PixelFeatures


class PixelDecoder(Protocol):
    """A module that maps backbone features to pixels and memory."""

    memory_channels: int

    def __call__(self, features: Sequence[Tensor], /) -> tuple[Any, Tensor]: ...


class QueryDecoder(Protocol):
    """A module that maps (query_pos, memory, memory_pos) to (L, B, Q, channels)."""

    channels: int

    def __call__(self, query_pos: Tensor, memory: Tensor, memory_pos: Tensor, /) -> Tensor: ...


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class QueryPredictor(nn.Module):
    """Pixel decoder, transformer decoder and one mask embedding per query.

    Args:
        pixel_decoder: maps backbone features to (pixels, memory) and has an attribute
            `memory_channels`; the pixels may be the embedding, a tensor, or `PixelFeatures`.
        transformer_decoder: maps (query_pos, memory, memory_pos) to (L, B, Q, channels) and has
            an attribute `channels`.
        deep_supervision: whether training sees every layer's output or the last one only.
        project_memory: whether a 1x1 convolution maps the memory to the decoder's channels;
            None: only if the numbers of channels differ.
    """

    def __init__(
        self,
        pixel_decoder: PixelDecoder,
        transformer_decoder: QueryDecoder,
        *,
        num_queries: int,
        mask_channels: int = 256,
        deep_supervision: bool = True,
        project_memory: bool | None = None,
    ) -> None:
        super().__init__()
        check_number("num_queries", num_queries, 1, whole=True)
        check_number("mask_channels", mask_channels, 1, whole=True)
        channels = transformer_decoder.channels
        if project_memory is None:
            project_memory = pixel_decoder.memory_channels != channels
        self.deep_supervision = deep_supervision
        self.pixel_decoder = pixel_decoder
        self.transformer_decoder = transformer_decoder
        self.position = SinePositionalEncoding(channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.memory_proj: nn.Module = nn.Identity()
        if project_memory:
            conv = nn.Conv2d(pixel_decoder.memory_channels, channels, 1)
            init_conv(conv)
            self.memory_proj = conv
        self.mask_embed = MLP([channels, channels, channels, mask_channels])

    def decode(
        self, features: Sequence[Tensor], all_layers: bool | None
    ) -> tuple[Tensor, PixelFeatures]:
        """Backbone features to decoder outputs (L, B, Q, channels) and what the pixel decoder
        says of the pixels.

        Args:
            all_layers: whether to return every decoder layer or the last one only (L = 1);
                None: every layer while training with deep supervision.
        """
        if all_layers is None:
            all_layers = self.training and self.deep_supervision
        pixels, memory = self.pixel_decoder(features)
        if isinstance(pixels, Tensor):
            pixels = PixelFeatures(pixels)
        memory = self.memory_proj(memory)
        position = self.position(memory).to(memory.dtype)
        query_pos = self.query_embed.weight[None].expand(memory.shape[0], -1, -1)
        decoded = self.transformer_decoder(
            query_pos.to(memory.dtype),
            memory.flatten(2).transpose(1, 2),
            position.flatten(2).transpose(1, 2),
        )
        return decoded if all_layers else decoded[-1:], pixels


class MaskFormerPredictor(QueryPredictor):
    """`QueryPredictor` with a classifier of the queries: C classes and "no object".

    Args:
        options: further arguments of `QueryPredictor`.
    """

    def __init__(
        self,
        pixel_decoder: PixelDecoder,
        transformer_decoder: QueryDecoder,
        *,
        num_classes: int,
        num_queries: int = 100,
        **options: Any,
    ) -> None:
        super().__init__(pixel_decoder, transformer_decoder, num_queries=num_queries, **options)
        check_number("num_classes", num_classes, 1, whole=True)
        self.class_embed = nn.Linear(transformer_decoder.channels, num_classes + 1)

    def forward(self, features: Sequence[Tensor], all_layers: bool | None = None) -> FactoredOutput:
        """Backbone features (fine to coarse) to factored output; `all_layers` as in `decode`."""
        decoded, pixels = self.decode(features, all_layers)
        return FactoredOutput(self.class_embed(decoded), self.mask_embed(decoded), pixels)
