"""Weights of our models as the original would have released them."""

import re

import numpy as np

INVERSE = [
    (r"^backbone\.(conv1)\.", r"backbone.stem.\1."),
    (r"^backbone\.bn1\.", "backbone.stem.conv1.norm."),
    (r"^backbone\.layer(\d)", lambda m: f"backbone.res{int(m[1]) + 1}"),
    (r"(res.*)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"downsample\.0", "shortcut"),
    (r"downsample\.1", "shortcut.norm"),
    (r"^decode_head\.predictor\.pixel_decoder\.", "sem_seg_head."),
    (r"^decode_head\.", "sem_seg_head."),
    (r"lateral_convs\.(\d)", lambda m: f"adapter_{int(m[1]) + 1}"),
    (r"output_convs\.(\d)", lambda m: f"layer_{int(m[1]) + 1}"),
    (r"((adapter|layer)_\d)\.conv", r"\1"),
    (r"transformer_decoder", "transformer.decoder"),
    (r"self_attn_norm", "norm1"),
    (r"cross_attn_norm", "norm2"),
    (r"ffn_norm", "norm3"),
    (r"cross_attn", "multihead_attn"),
    (r"memory_proj", "input_proj"),
]
"""From our names to the released files', written down independently of the converter."""


def original_name(name):
    for pattern, replacement in INVERSE:
        name = re.sub(pattern, replacement, name)
    return name


def original_weights(state_dict):
    """The content of a released file."""
    arrays = {
        original_name(name): np.asarray(tensor)
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    outputs = len(arrays["sem_seg_head.predictor.class_embed.bias"])
    arrays["criterion.empty_weight"] = np.array([1.0] * (outputs - 1) + [0.1], np.float32)
    return {"model": arrays, "__author__": "test"}
