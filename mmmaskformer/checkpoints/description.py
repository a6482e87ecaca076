"""What a model is, read off the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor

RESNETS: dict[tuple[int, ...], int] = {
    (2, 2, 2, 2): 18,
    (3, 4, 6, 3): 50,
    (3, 4, 23, 3): 101,
    (3, 8, 36, 3): 152,
}
SWINS: dict[tuple[int, tuple[int, ...]], str] = {
    (96, (2, 2, 6, 2)): "Swin-T",
    (96, (2, 2, 18, 2)): "Swin-S",
    (128, (2, 2, 18, 2)): "Swin-B",
    (192, (2, 2, 18, 2)): "Swin-L",
}
EFFICIENTNETS: dict[int, str] = {16: "lite0", 21: "lite2"}
"""Number of blocks -> the `arch` of an EfficientNet-Lite."""
HEAD = "decode_head.predictor."

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Backbone:
    """A ResNet, a Swin transformer or an EfficientNet-Lite; the fields of other kinds are None.

    Attributes:
        channels: of the four levels, fine to coarse.
        blocks: number of blocks per stage.
        stem_channels: of a ResNet's deep stem; None: one convolution.
        num_heads, window_size: of a Swin transformer.
        arch: of an EfficientNet-Lite.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    depth: int | None = None
    stem_channels: int | None = None
    num_heads: tuple[int, ...] | None = None
    window_size: int | None = None
    arch: str | None = None

    def __str__(self) -> str:
        if self.arch is not None:
            return f"EfficientNet-{self.arch.capitalize()} backbone"
        if self.num_heads is not None:
            name = SWINS.get((self.channels[0], self.blocks), "Swin")
            return f"{name} backbone ({self.channels[0]} channels, window {self.window_size})"
        stem = f", stem of {self.stem_channels} channels" if self.stem_channels else ""
        return f"ResNet-{self.depth} backbone{stem}"


@dataclass(frozen=True)
class Head:
    """One of the three heads; what a head does not have is None.

    Attributes:
        type: the head's registered name.
        encoder_layers: of the pixel decoder, 0 without an encoder.
    """

    type: str
    num_classes: int
    channels: int
    mask_channels: int
    encoder_layers: int
    encoder_feedforward: int | None = None
    num_queries: int | None = None
    decoder_layers: int | None = None
    decoder_feedforward: int | None = None
    self_attention: bool | None = None
    project_memory: bool | None = None

    def __str__(self) -> str:
        parts = [self.type.replace("Head", ""), f"{self.num_classes} classes"]
        if self.type == "MaskFormerHead":
            parts.append(f"{self.num_queries} queries")
        if self.decoder_layers is not None:
            parts.append(f"{self.decoder_layers} decoder layers")
        if self.self_attention is False:
            parts.append("no self-attention")
        if self.encoder_layers:
            parts.append(f"{self.encoder_layers} encoder layers")
        return ", ".join(parts)


def read_backbone(shapes: Shapes) -> Backbone | None:
    """The backbone that weights under mmseg's names (without prefix) belong to."""
    if "patch_embed.projection.weight" in shapes:
        blocks = _counts(shapes, r"stages\.(\d)\.blocks\.(\d+)\.norm1\.weight")
        if len(blocks) != 4:
            return None
        tables = [
            shapes[f"stages.{i}.blocks.0.attn.w_msa.relative_position_bias_table"]
            for i in range(len(blocks))
        ]
        embed = shapes["patch_embed.projection.weight"][0]
        return Backbone(
            channels=tuple(embed * 2**i for i in range(len(blocks))),
            blocks=blocks,
            num_heads=tuple(table[1] for table in tables),
            window_size=(round(tables[0][0] ** 0.5) + 1) // 2,
        )
    if "blocks.0.depthwise_conv.conv.weight" in shapes:
        return read_efficientnet(shapes)
    blocks = _counts(shapes, r"layer(\d)\.(\d+)\.conv1\.weight")
    if len(blocks) != 4:
        return None
    last = "conv3" if "layer1.0.conv3.weight" in shapes else "conv2"
    depth = RESNETS.get(blocks)
    if last == "conv2" and blocks == (3, 4, 6, 3):
        depth = 34
    stem = shapes.get("stem.6.weight")
    return Backbone(
        channels=tuple(shapes[f"layer{i}.0.{last}.weight"][0] for i in range(1, 5)),
        blocks=blocks,
        depth=depth,
        stem_channels=None if stem is None else stem[0],
    )


def read_efficientnet(shapes: Shapes) -> Backbone | None:
    """The EfficientNet-Lite that weights with blocks of a depthwise convolution belong to."""
    total = sum(
        re.fullmatch(r"blocks\.\d+\.linear_conv\.conv\.weight", n) is not None for n in shapes
    )
    widths = [shapes[f"blocks.{i}.linear_conv.conv.weight"][0] for i in range(total)]
    stages = [(width, len(list(group))) for width, group in groupby(widths)]
    if total not in EFFICIENTNETS or len(stages) != 7:
        return None
    levels = [stages[i][0] for i in (1, 2, 4, 6)]  # the last stages at strides 4 to 32
    blocks = tuple(count for _, count in stages)
    return Backbone(tuple(levels), blocks, arch=EFFICIENTNETS[total])


def read_head(shapes: Shapes) -> Head | None:
    """The head that weights under our names (with `decode_head.predictor.`) belong to."""
    shapes = {n[len(HEAD) :]: s for n, s in shapes.items() if n.startswith(HEAD)}
    if "pixel_decoder.mask_features.weight" not in shapes:
        return None
    mask_channels, channels = shapes["pixel_decoder.mask_features.weight"][:2]
    encoder = _counts(shapes, r"pixel_decoder\.(encoder)_layers\.(\d+)\.linear1\.weight")
    common: dict[str, Any] = dict(
        channels=channels,
        mask_channels=mask_channels,
        encoder_layers=sum(encoder),
        encoder_feedforward=_rows(shapes, "pixel_decoder.encoder_layers.0.linear1.weight"),
    )
    if "classifier.weight" in shapes:
        return Head("PerPixelBaselineHead", shapes["classifier.weight"][0], **common)
    queries = _rows(shapes, "query_embed.weight")
    decoder = _counts(shapes, r"(transformer_decoder)\.layers\.(\d+)\.linear1\.weight")
    common.update(
        decoder_layers=sum(decoder),
        decoder_feedforward=_rows(shapes, "transformer_decoder.layers.0.linear1.weight"),
        self_attention="transformer_decoder.layers.0.self_attn.in_proj_weight" in shapes,
        project_memory="memory_proj.weight" in shapes,
    )
    if "class_embed.weight" in shapes:
        classes = shapes["class_embed.weight"][0] - 1
        return Head("MaskFormerHead", classes, num_queries=queries, **common)
    classes = shapes["query_embed.weight"][0]
    return Head("PerPixelBaselinePlusHead", classes, num_queries=queries, **common)


def describe(shapes: Shapes) -> str:
    """One line about weights under our names, complete or not, for messages."""
    bare = {n[9:]: s for n, s in shapes.items() if n.startswith("backbone.")} or shapes
    parts: list[str] = []
    for read, names in ((read_head, shapes), (read_backbone, bare)):
        try:
            part = read(names)
        except (KeyError, ValueError, TypeError, IndexError):
            parts.append(f"an incomplete {read.__name__[5:]}")
        else:
            parts += [] if part is None else [str(part)]
    return "; ".join(parts) or f"{len(shapes)} weights that are no MaskFormer"


def compare(shapes: Mapping[str, tuple], expected: Mapping[str, tuple]) -> list[str]:
    """What is missing, left over or of another shape, one short text each."""
    problems = [f"{name} is missing" for name in expected if name not in shapes]
    problems += [f"{name} is left over" for name in shapes if name not in expected]
    problems += [
        f"{name} is {tuple(shapes[name])} instead of {tuple(expected[name])}"
        for name in expected
        if name in shapes and tuple(shapes[name]) != tuple(expected[name])
    ]
    return problems


def unlike(weights: Mapping, expected: Mapping[str, Tensor]) -> Iterator[str]:
    """What is no weight at all, or would change its value by becoming a number of the expected
    kind: a complex one would lose its imaginary part, a quantised one its scale.
    """
    for name, weight in weights.items():
        if not isinstance(name, str):
            yield f"the names of weights must be text, got {name!r}"
        elif name not in expected:
            continue
        elif not isinstance(weight, Tensor):
            yield f"{name} is of type {type(weight).__name__}; wanted a tensor"
        elif weight.is_floating_point() != expected[name].is_floating_point():
            yield f"{name} is of {weight.dtype}; wanted {expected[name].dtype} or the like"


def _counts(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    """How many second groups there are for each first group, in order."""
    found = [m.groups() for m in (re.fullmatch(pattern, name) for name in shapes) if m]
    return tuple(sum(f[0] == stage for f in found) for stage in sorted({f[0] for f in found}))


def _rows(shapes: Shapes, name: str) -> int | None:
    return shapes[name][0] if name in shapes else None
