"""The implementations whose weights can be converted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .backbones import (
    Rule,
    detectron2_resnet,
    efficientnet_lite,
    swin,
    torchvision_swin,
    transformers_backbone,
)
from .heads import openmmlab_head, original_head, transformers_head

CLASSIFIER = "belongs to the image classifier, which a backbone does not have"
CONFIGURED = "follows from the config"
RECOMPUTED = "is computed anew for every image size"


@dataclass(frozen=True)
class Format:
    """One implementation's way to name weights.

    Attributes:
        mark: matches the start of a name that only this format has.
        rules: pattern and replacement; the first whose pattern matches the whole name counts.
        dropped: patterns of names that are left out, and the reason.
        merges_by_position: whether Swin's patch merging has the original's order of neighbours.
        is_segmentor: False for image classifiers.
        was_released: whether the paper's models were released in this format.
        licence: what users must know about weights of this format.
    """

    name: str
    mark: str
    rules: Sequence[Rule]
    dropped: Sequence[tuple[str, str]] = ()
    merges_by_position: bool = True
    is_segmentor: bool = True
    was_released: bool = False
    licence: str = ""

    def rename(self, name: str) -> str | None:
        """Our name, with `@0`, `@1` or `@2` behind it for a query, key or value part."""
        for pattern, new in self.rules:
            match = re.fullmatch(pattern, name)
            if match:
                return match.expand(new) if isinstance(new, str) else new(match)
        return None

    def reason_to_drop(self, name: str) -> str | None:
        """Why the name is left out, or None."""
        return next((why for pattern, why in self.dropped if re.fullmatch(pattern, name)), None)


def original(name: str, mark: str, deep_stem: bool) -> Format:
    """The original implementation's models."""
    return Format(
        name,
        mark,
        [
            *detectron2_resnet(r"backbone\.", "backbone.", deep_stem),
            *swin(r"backbone\.", "backbone."),
            *original_head(),
        ],
        [(r"criterion\.empty_weight|pixel_mean|pixel_std", CONFIGURED)],
        was_released=True,
        licence="If these are the weights released with the paper, they are licensed CC BY-NC 4.0: "
        "not for commercial use.",
    )


def classifiers() -> list[Format]:
    """Image classifiers, whose backbones mmseg does not read as they are."""
    head = (r"(?:stem\.)?(?:fc|head)\..+|norm\.(?:weight|bias)", CLASSIFIER)
    mask = (r".+\.attn_mask", RECOMPUTED)
    return [
        Format(
            "a Detectron2 ResNet with a stem of three convolutions",
            r"stem\.conv2\.weight",
            detectron2_resnet("", "", deep_stem=True),
            [head],
            is_segmentor=False,
        ),
        Format(
            "a Detectron2 ResNet",
            r"stem\.conv1\.weight",
            detectron2_resnet("", "", deep_stem=False),
            [head],
            is_segmentor=False,
        ),
        Format(
            "a torchvision ResNet",
            r"layer1\.0\.conv1\.weight",
            [(r"(?:conv1|bn1|stem|layer\d)\..+", r"\g<0>")],
            [head],
            is_segmentor=False,
        ),
        Format(
            "a Swin transformer of its authors",
            r"layers\.0\.blocks\.0\.attn\.qkv\.weight",
            swin("", ""),
            [head, mask],
            is_segmentor=False,
        ),
        Format(
            "a torchvision Swin transformer",
            r"features\.1\.0\.attn\.qkv\.weight",
            torchvision_swin(),
            [head],
            is_segmentor=False,
        ),
        Format(
            "an EfficientNet-Lite of the Python package index",
            r"_conv_stem\.weight",
            efficientnet_lite(),
            [(r"(?:_conv_head|_bn1|_fc)\..+", CLASSIFIER)],
            is_segmentor=False,
        ),
    ]


FORMATS = (
    Format(
        "mmmaskformer's own format",
        r"decode_head\.predictor\.",
        [(r"(?:backbone|decode_head)\..+", r"\g<0>")],
        merges_by_position=False,
    ),
    original("the original's MaskFormer (deep stem)", r"backbone\.stem\.conv2\.", True),
    original("the original's MaskFormer", r"sem_seg_head\.", False),
    Format(
        "transformers' MaskFormer",
        r"model\.pixel_level_module\.",
        [*transformers_backbone(), *transformers_head()],
        [
            (r"criterion\.empty_weight", CONFIGURED),
            (r"model\.pixel_level_module\.encoder\.model\.layernorm\..+", CLASSIFIER),
        ],
        licence="Weights converted from the paper's release stay CC BY-NC 4.0: not for commercial "
        "use.",
    ),
    Format(
        "mmseg's or mmdet's MaskFormer",
        r"(?:decode_head|panoptic_head)\.(?:pixel_decoder|transformer_decoder)\.",
        [(r"backbone\..+", r"\g<0>"), *openmmlab_head()],
        merges_by_position=False,
    ),
    *classifiers(),
)
"""Every known format; the first whose mark matches one of the names counts."""
