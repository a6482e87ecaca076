"""What an exported file says of itself: names, colours, and what surrounds the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmseg.models import EncoderDecoder

from ..core.fusion import GeneralFusion, SemanticFusion
from ..core.panoptic_fusion import PanopticFusion
from ..deploy.metadata import FORMAT
from ..heads.base import answers_in_views
from ..heads.maskformer_head import MaskFormerHead
from ..version import __version__
from .module import normalization

SKIPPED = ("LoadImageFromFile", "LoadAnnotations", "LoadPanopticAnnotations")
"""Steps of a pipeline that read files, by the ends of their names, and have no part in exports."""


def describe(model: EncoderDecoder) -> dict[str, Any]:
    """The metadata of a model; `docs/export.md` lists the keys.

    Raises:
        ValueError: a part that an exported file can not have; names it.
    """
    head = model.decode_head
    if not isinstance(head, MaskFormerHead):
        raise ValueError(
            f"a model with a {type(head).__name__} can not be exported; wanted a MaskFormerHead"
        )
    if not answers_in_views(model):
        raise ValueError(
            f"a {type(model).__name__} can not be exported; wanted a model of one scale, MaskFormer"
        )
    if model.test_cfg.get("mode", "whole") != "whole":
        raise ValueError(
            f"test_cfg.mode is {model.test_cfg.mode!r}: an exported model sees whole images; "
            "wanted 'whole'"
        )
    names = model.dataset_meta or {}
    classes = list(names.get("classes") or ())
    if len(classes) != head.num_classes:
        raise ValueError(
            f"the model has {head.num_classes} classes, but its metadata names {len(classes)}"
        )
    mean, std = normalization(model.data_preprocessor)
    pad, divisor = padding(model.data_preprocessor)
    panoptic = panoptic_rule(head)
    return {
        "format_version": FORMAT,
        "package_version": __version__,
        "model": Path(model.cfg.filename or "config.py").stem,
        "classes": classes,
        "palette": colors(names.get("palette"), len(classes)),
        "isthing": None if panoptic is None else list(map(bool, head.panoptic_fusion.isthing)),
        "mean": mean,
        "std": std,
        "pad_value": [m + pad * s for m, s in zip(mean, std, strict=True)],
        "divisor": divisor,
        "resize": resize_rule(model.cfg.test_dataloader.dataset.pipeline),
        "semantic": semantic_rule(head),
        "panoptic": panoptic,
    }


def colors(palette: Any, count: int) -> list[list[int]]:
    """A colour for each class; random ones, always the same, where the dataset has none."""
    if palette is None or len(palette) < count:
        palette = np.random.default_rng(0).integers(0, 256, (count, 3)).tolist()
    return [[int(value) for value in color] for color in palette[:count]]


def padding(preprocessor: Any) -> tuple[float, int]:
    """The value of padding after the normalisation, and what its size is a multiple of."""
    rule = dict(preprocessor.test_cfg or {})
    if rule.get("size"):
        raise ValueError(
            f"data_preprocessor.test_cfg.size={rule['size']} fixes the input's size; wanted "
            "size_divisor"
        )
    return float(preprocessor.pad_val), int(rule.get("size_divisor") or 1)


def resize_rule(pipeline: list[dict]) -> dict[str, Any] | None:
    """How a test pipeline resizes images; None: it does not.

    Raises:
        ValueError: a step that the runner of exported files does not know.
    """
    rule = None
    for step in pipeline:
        kind = str(step["type"]).rpartition(".")[2]
        if kind in SKIPPED or kind.startswith("Pack"):
            continue
        options = {"keep_ratio": False, "backend": "cv2", "interpolation": "bilinear"}
        options.update({key: value for key, value in step.items() if key != "type"})
        scale = options.pop("scale", None)
        known = set(options) == {"keep_ratio", "backend", "interpolation"}
        if kind != "Resize" or rule or scale is None or not known:
            raise ValueError(
                f"the test pipeline has the step {dict(step)}, which an exported file can not "
                "describe; wanted one Resize with scale, and with keep_ratio and backend only"
            )
        if options.pop("interpolation") != "bilinear":
            raise ValueError(f"Resize.interpolation={step['interpolation']!r}; wanted 'bilinear'")
        scale = [scale] * 2 if isinstance(scale, int) else [int(edge) for edge in scale]
        rule = {"scale": scale, **options}
    return rule


def semantic_rule(head: MaskFormerHead) -> dict[str, Any]:
    """The semantic inference by name, with its options."""
    fusion = head.fusion
    if type(fusion) is SemanticFusion:
        return {"type": "SemanticFusion", "resize_logits": fusion.resize_logits}
    if type(fusion) is GeneralFusion:
        return {"type": "GeneralFusion", "object_threshold": fusion.object_threshold}
    raise ValueError(
        f"fusion={type(fusion).__name__} is not known to exported files; wanted SemanticFusion or "
        "GeneralFusion"
    )


def panoptic_rule(head: MaskFormerHead) -> dict[str, float] | None:
    """The thresholds of the panoptic inference; None without any."""
    fusion = head.panoptic_fusion
    if fusion is None:
        return None
    if type(fusion) is not PanopticFusion:
        raise ValueError(
            f"panoptic_fusion={type(fusion).__name__} is not known to exported files; wanted "
            "PanopticFusion"
        )
    names = ("object_threshold", "overlap_threshold")
    return {name: float(getattr(fusion, name)) for name in names}
