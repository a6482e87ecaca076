"""Rules that rewrite other implementations' names of head weights to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .backbones import WB, Rule

ATTENTION = r"(in_proj_weight|in_proj_bias|out_proj\.weight|out_proj\.bias)"

PREDICTOR = "decode_head.predictor."
PIXEL_DECODER = PREDICTOR + "pixel_decoder."
DECODER = PREDICTOR + "transformer_decoder."


def original_head() -> list[Rule]:
    """The original's head; its released files lack `pixel_decoder.` in the prefix."""
    head, predictor = r"sem_seg_head\.(?:pixel_decoder\.)?", r"sem_seg_head\.predictor\."
    levels = {"adapter": "lateral_convs", "layer": "output_convs"}

    def level(tail: str) -> Callable[[re.Match], str]:
        return lambda m: f"{PIXEL_DECODER}{levels[m[1]]}.{int(m[2]) - 1}." + m.expand(tail)

    encoder, ours = head + r"transformer\.encoder\.layers\.(\d+)\.", "encoder_layers."
    decoder = predictor + r"transformer\.decoder\."
    return [
        (head + r"(adapter|layer)_(\d)\.weight", level("conv.weight")),
        (head + rf"(adapter|layer)_(\d)\.norm\.{WB}", level(r"norm.\3")),
        (head + rf"(mask_features|input_proj)\.{WB}", PIXEL_DECODER + r"\1.\2"),
        *transformer_layers(encoder, PIXEL_DECODER + ours, norms=("self_attn_norm", "ffn_norm")),
        (predictor + WB, PREDICTOR + r"classifier.\1"),
        *transformer_layers(decoder + r"layers\.(\d+)\.", DECODER + "layers."),
        (decoder + rf"norm\.{WB}", DECODER + r"norm.\1"),
        (predictor + r"query_embed\.weight", PREDICTOR + "query_embed.weight"),
        (predictor + rf"input_proj\.{WB}", PREDICTOR + r"memory_proj.\1"),
        (predictor + rf"class_embed\.{WB}", PREDICTOR + r"class_embed.\1"),
        (predictor + rf"mask_embed\.layers\.(\d)\.{WB}", PREDICTOR + r"mask_embed.layers.\1.\2"),
    ]


def transformer_layers(
    source: str,
    target: str,
    norms: Sequence[str] = ("self_attn_norm", "cross_attn_norm", "ffn_norm"),
) -> list[Rule]:
    """torch's transformer layers; the first group of `source` is the layer."""
    return [
        (source + rf"self_attn\.{ATTENTION}", target + r"\1.self_attn.\2"),
        (source + rf"multihead_attn\.{ATTENTION}", target + r"\1.cross_attn.\2"),
        (source + rf"linear(1|2)\.{WB}", target + r"\1.linear\2.\3"),
        (source + rf"norm(\d)\.{WB}", lambda m: f"{target}{m[1]}.{norms[int(m[2]) - 1]}.{m[3]}"),
    ]


def openmmlab_head() -> list[Rule]:
    """mmseg's and mmdet's MaskFormer head, with the layer names of mmdet 2 and 3."""
    head = r"(?:decode_head|panoptic_head)\."
    pixel, decoder = head + r"pixel_decoder\.", head + r"transformer_decoder\."
    top = pixel + r"(?:last_feat_conv|encoder_out_proj)\."

    def layers(source: str, target: str, norms: Sequence[str]) -> list[Rule]:
        source = source + r"layers\.(\d+)\."
        return [
            (
                source + rf"(?:self_attn|attentions\.0)\.attn\.{ATTENTION}",
                target + r"\1.self_attn.\2",
            ),
            (
                source + rf"(?:cross_attn|attentions\.1)\.attn\.{ATTENTION}",
                target + r"\1.cross_attn.\2",
            ),
            (source + rf"(?:ffn|ffns\.0)\.layers\.0\.0\.{WB}", target + r"\1.linear1.\2"),
            (source + rf"(?:ffn|ffns\.0)\.layers\.1\.{WB}", target + r"\1.linear2.\2"),
            (source + rf"norms\.(\d)\.{WB}", lambda m: f"{target}{m[1]}.{norms[int(m[2])]}.{m[3]}"),
        ]

    decoder_norms = ("self_attn_norm", "cross_attn_norm", "ffn_norm")
    return [
        (
            pixel + r"(lateral|output)_convs\.(\d)\.conv\.weight",
            PIXEL_DECODER + r"\1_convs.\2.conv.weight",
        ),
        (
            pixel + rf"(lateral|output)_convs\.(\d)\.gn\.{WB}",
            PIXEL_DECODER + r"\1_convs.\2.norm.\3",
        ),
        (top + r"conv\.weight", PIXEL_DECODER + "output_convs.3.conv.weight"),
        (top + rf"gn\.{WB}", PIXEL_DECODER + r"output_convs.3.norm.\1"),
        (pixel + rf"mask_feature\.{WB}", PIXEL_DECODER + r"mask_features.\1"),
        (pixel + rf"encoder_in_proj\.{WB}", PIXEL_DECODER + r"input_proj.\1"),
        *layers(
            pixel + r"encoder\.", PIXEL_DECODER + "encoder_layers.", ("self_attn_norm", "ffn_norm")
        ),
        *layers(decoder, DECODER + "layers.", decoder_norms),
        (decoder + rf"post_norm\.{WB}", DECODER + r"norm.\1"),
        (head + rf"decoder_input_proj\.{WB}", PREDICTOR + r"memory_proj.\1"),
        (head + r"query_embed\.weight", PREDICTOR + "query_embed.weight"),
        (head + rf"cls_embed\.{WB}", PREDICTOR + r"class_embed.\1"),
        (
            head + rf"mask_embed\.([024])\.{WB}",
            lambda m: f"{PREDICTOR}mask_embed.layers.{int(m[1]) // 2}.{m[2]}",
        ),
    ]


def transformers_head() -> list[Rule]:
    """transformers' MaskFormer, with the layer names of its versions 4 and 5."""
    fpn = r"model\.pixel_level_module\.decoder\.fpn\."
    module = r"model\.transformer_module\."
    layer, ours = module + r"decoder\.layers\.(\d+)\.", DECODER + r"layers.\1."
    attention = {"self": "self_attn", "encoder": "cross_attn"}
    parts = {"proj": "lateral_convs", "block": "output_convs"}

    def level(tail: str) -> Callable[[re.Match], str]:
        return lambda m: f"{PIXEL_DECODER}{parts[m[2]]}.{2 - int(m[1])}." + m.expand(tail)

    return [
        (fpn + r"stem\.0\.weight", PIXEL_DECODER + "output_convs.3.conv.weight"),
        (fpn + rf"stem\.1\.{WB}", PIXEL_DECODER + r"output_convs.3.norm.\1"),
        (fpn + r"layers\.(\d)\.(proj|block)\.0\.weight", level("conv.weight")),
        (fpn + rf"layers\.(\d)\.(proj|block)\.1\.{WB}", level(r"norm.\3")),
        (
            rf"model\.pixel_level_module\.decoder\.mask_projection\.{WB}",
            PIXEL_DECODER + r"mask_features.\1",
        ),
        (module + r"queries_embedder\.weight", PREDICTOR + "query_embed.weight"),
        (module + rf"input_projection\.{WB}", PREDICTOR + r"memory_proj.\1"),
        (
            layer + rf"(self|encoder)_attn\.([qkv])_proj\.{WB}",
            lambda m: (
                f"{DECODER}layers.{m[1]}.{attention[m[2]]}.in_proj_{m[4]}@{'qkv'.index(m[3])}"
            ),
        ),
        (
            layer + rf"(self|encoder)_attn\.(?:o|out)_proj\.{WB}",
            lambda m: f"{DECODER}layers.{m[1]}.{attention[m[2]]}.out_proj.{m[3]}",
        ),
        (layer + rf"(?:mlp\.)?fc(1|2)\.{WB}", ours + r"linear\2.\3"),
        (layer + rf"self_attn_layer_norm\.{WB}", ours + r"self_attn_norm.\2"),
        (layer + rf"encoder_attn_layer_norm\.{WB}", ours + r"cross_attn_norm.\2"),
        (layer + rf"final_layer_norm\.{WB}", ours + r"ffn_norm.\2"),
        (module + rf"decoder\.layernorm\.{WB}", DECODER + r"norm.\1"),
        (rf"class_predictor\.{WB}", PREDICTOR + r"class_embed.\1"),
        (rf"mask_embedder\.(\d)\.0\.{WB}", PREDICTOR + r"mask_embed.layers.\1.\2"),
    ]
