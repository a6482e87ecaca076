"""Rules that rewrite other implementations' names of backbone weights to mmseg's."""

from __future__ import annotations

import re
from collections.abc import Callable

Rule = tuple[str, str | Callable[[re.Match], str]]
"""Pattern of a whole name, and its replacement."""

WB = r"(weight|bias)"
BN = r"(weight|bias|running_mean|running_var|num_batches_tracked)"


def detectron2_resnet(source: str, target: str, deep_stem: bool) -> list[Rule]:
    """Detectron2's ResNet; a deep stem is three convolutions with a norm and a ReLU each."""
    block = source + r"res(\d)\.(\d+)\."
    stem: list[Rule] = [
        (source + r"stem\.conv1\.weight", target + "conv1.weight"),
        (source + rf"stem\.conv1\.norm\.{BN}", target + r"bn1.\1"),
    ]
    if deep_stem:
        stem = [
            (
                source + r"stem\.conv(\d)\.weight",
                lambda m: f"{target}stem.{3 * int(m[1]) - 3}.weight",
            ),
            (
                source + rf"stem\.conv(\d)\.norm\.{BN}",
                lambda m: f"{target}stem.{3 * int(m[1]) - 2}.{m[2]}",
            ),
        ]

    def in_block(tail: str) -> Callable[[re.Match], str]:
        return lambda m: f"{target}layer{int(m[1]) - 1}.{m[2]}." + m.expand(tail)

    return [
        *stem,
        (block + r"conv(\d)\.weight", in_block(r"conv\3.weight")),
        (block + rf"conv(\d)\.norm\.{BN}", in_block(r"bn\3.\4")),
        (block + r"shortcut\.weight", in_block("downsample.0.weight")),
        (block + rf"shortcut\.norm\.{BN}", in_block(r"downsample.1.\3")),
    ]


def swin(source: str, target: str) -> list[Rule]:
    """The Swin authors' names."""
    block, ours = source + r"layers\.(\d)\.blocks\.(\d+)\.", target + r"stages.\1.blocks.\2."
    return [
        (source + rf"patch_embed\.proj\.{WB}", target + r"patch_embed.projection.\1"),
        (source + rf"patch_embed\.norm\.{WB}", target + r"patch_embed.norm.\1"),
        (block + rf"norm(1|2)\.{WB}", ours + r"norm\3.\4"),
        (block + r"attn\.(relative_position_\w+)", ours + r"attn.w_msa.\3"),
        (block + rf"attn\.(qkv|proj)\.{WB}", ours + r"attn.w_msa.\3.\4"),
        (block + rf"mlp\.fc1\.{WB}", ours + r"ffn.layers.0.0.\3"),
        (block + rf"mlp\.fc2\.{WB}", ours + r"ffn.layers.1.\3"),
        (
            source + rf"layers\.(\d)\.downsample\.(reduction|norm)\.{WB}",
            target + r"stages.\1.downsample.\2.\3",
        ),
        (source + rf"norm(\d)\.{WB}", target + r"norm\1.\2"),
    ]


def efficientnet_lite() -> list[Rule]:
    """The names of EfficientNet for PyTorch by Luke Melas-Kyriazi, of the Lite models."""
    block = r"_blocks\.(\d+)\."
    rules: list[Rule] = [
        (r"_conv_stem\.weight", "stem.conv.weight"),
        (rf"_bn0\.{BN}", r"stem.bn.\1"),
    ]
    parts = {"expand": (0, "expand"), "depthwise": (1, "depthwise"), "project": (2, "linear")}
    for theirs, (number, ours) in parts.items():
        rules += [
            (block + rf"_{theirs}_conv\.weight", rf"blocks.\1.{ours}_conv.conv.weight"),
            (block + rf"_bn{number}\.{BN}", rf"blocks.\1.{ours}_conv.bn.\2"),
        ]
    return rules


def torchvision_swin() -> list[Rule]:
    """torchvision's Swin: `features` holds stages and patch mergings by turns."""
    block = r"features\.([1357])\.(\d+)\."

    def in_block(tail: str) -> Callable[[re.Match], str]:
        return lambda m: f"stages.{int(m[1]) // 2}.blocks.{m[2]}." + m.expand(tail)

    return [
        (rf"features\.0\.0\.{WB}", r"patch_embed.projection.\1"),
        (rf"features\.0\.2\.{WB}", r"patch_embed.norm.\1"),
        (block + rf"norm(1|2)\.{WB}", in_block(r"norm\3.\4")),
        (block + r"attn\.(relative_position_\w+)", in_block(r"attn.w_msa.\3")),
        (block + rf"attn\.(qkv|proj)\.{WB}", in_block(r"attn.w_msa.\3.\4")),
        (block + rf"mlp\.0\.{WB}", in_block(r"ffn.layers.0.0.\3")),
        (block + rf"mlp\.3\.{WB}", in_block(r"ffn.layers.1.\3")),
        (
            rf"features\.([246])\.(reduction|norm)\.{WB}",
            lambda m: f"stages.{int(m[1]) // 2 - 1}.downsample.{m[2]}.{m[3]}",
        ),
    ]


def transformers_backbone() -> list[Rule]:
    """ResNet and Swin as transformers names them."""
    encoder = r"model\.pixel_level_module\.encoder\."
    embeddings = encoder + r"model\.embeddings\."
    stage = encoder + r"encoder\.stages\.(\d)\.layers\.(\d+)\."
    block = encoder + r"model\.encoder\.layers\.(\d)\.blocks\.(\d+)\."
    ours = r"backbone.stages.\1.blocks.\2."
    parts = {"query": 0, "key": 1, "value": 2}

    def in_stage(tail: Callable[[re.Match], str]) -> Callable[[re.Match], str]:
        return lambda m: f"backbone.layer{int(m[1]) + 1}.{m[2]}.{tail(m)}"

    return [
        (encoder + r"embedder\.embedder\.convolution\.weight", "backbone.conv1.weight"),
        (encoder + rf"embedder\.embedder\.normalization\.{BN}", r"backbone.bn1.\1"),
        (stage + r"shortcut\.convolution\.weight", in_stage(lambda m: "downsample.0.weight")),
        (stage + rf"shortcut\.normalization\.{BN}", in_stage(lambda m: f"downsample.1.{m[3]}")),
        (
            stage + r"layer\.(\d)\.convolution\.weight",
            in_stage(lambda m: f"conv{int(m[3]) + 1}.weight"),
        ),
        (
            stage + rf"layer\.(\d)\.normalization\.{BN}",
            in_stage(lambda m: f"bn{int(m[3]) + 1}.{m[4]}"),
        ),
        (
            embeddings + rf"patch_embeddings\.projection\.{WB}",
            r"backbone.patch_embed.projection.\1",
        ),
        (embeddings + rf"norm\.{WB}", r"backbone.patch_embed.norm.\1"),
        (block + rf"layernorm_before\.{WB}", ours + r"norm1.\3"),
        (block + rf"layernorm_after\.{WB}", ours + r"norm2.\3"),
        (block + r"attention\.self\.(relative_position_\w+)", ours + r"attn.w_msa.\3"),
        (
            block + rf"attention\.self\.(query|key|value)\.{WB}",
            lambda m: f"backbone.stages.{m[1]}.blocks.{m[2]}.attn.w_msa.qkv.{m[4]}@{parts[m[3]]}",
        ),
        (block + rf"attention\.output\.dense\.{WB}", ours + r"attn.w_msa.proj.\3"),
        (block + rf"intermediate\.dense\.{WB}", ours + r"ffn.layers.0.0.\3"),
        (block + rf"output\.dense\.{WB}", ours + r"ffn.layers.1.\3"),
        (
            encoder + rf"model\.encoder\.layers\.(\d)\.downsample\.(reduction|norm)\.{WB}",
            r"backbone.stages.\1.downsample.\2.\3",
        ),
        (encoder + rf"hidden_states_norms\.(\d)\.{WB}", r"backbone.norm\1.\2"),
    ]
