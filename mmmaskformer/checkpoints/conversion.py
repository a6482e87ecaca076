"""Checkpoints of other implementations to files that this package's configs load.

What `tools/convert_weights.py` does, as functions: read safely, convert, check, write.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..utils.files import replacing
from ..utils.text import listing
from . import checksum
from .description import Backbone, Head, compare, describe, read_backbone, read_head
from .naming import CheckpointError, Conversion, convert, recognise
from .reading import load_checkpoint_file


@dataclass(frozen=True)
class Report:
    """A checked conversion.

    Attributes:
        conversion: what became of every source weight.
        description: what the model is.
        unfilled: names of the model that the source does not have, and why.
        num_classes: of a segmentor; None for a backbone.
    """

    conversion: Conversion
    description: str
    unfilled: dict[str, str]
    num_classes: int | None


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in a `.pkl`, `.pth`, `.bin` or `.safetensors` file, without running code.

    Returns:
        weights by name, and what else the file holds.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is damaged, would run code, or holds no weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} can not be found, or are no file")
    try:
        content, beside = find_weights(load_checkpoint_file(path, "cpu"))
    except RuntimeError as error:
        raise CheckpointError(str(error)) from error
    weights = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        tensor = _as_tensor(value)
        if isinstance(name, str) and tensor is not None:
            weights[name] = tensor
    strange = [str(name) for name in content if name not in weights] if weights else []
    if strange or not weights:
        what = f"entries that are no arrays: {listing(strange, 4)}" if strange else "no weights"
        raise CheckpointError(
            f"{path} holds {what}; wanted is a dict of arrays by name, alone or under "
            f"{', '.join(KEYS)}"
        )
    return weights, beside


KEYS = (
    "state_dict", "model", "model_state_dict", "model_state", "module", "net", "network",
    "ema_state_dict", "model_ema", "ema_model", "ema",
)  # fmt: skip
"""Where programs put the weights of a model, those to prefer first."""


def find_weights(content: Any) -> tuple[Any, dict[str, Any]]:
    """The weights in what a file holds, and what is beside them.

    They may be under several keys, one in another (`model`, then `module`). Where a file holds
    two sets, such as weights and their averages, the first whose names belong to a known
    implementation counts, and else the first.
    """
    found = list(_candidates(content, {}, 4))
    for weights, beside in found:
        try:
            recognise([name for name in weights if isinstance(name, str)])
        except (CheckpointError, TypeError):  # TypeError: a number, for instance
            continue
        return weights, beside
    return found[0]


def _candidates(
    content: Any, beside: dict[str, Any], depth: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    inner = [key for key in KEYS if isinstance(content, Mapping) and key in content]
    for key in inner if depth else ():
        if isinstance(content[key], Mapping):
            others = {str(name): value for name, value in content.items() if name != key}
            yield from _candidates(content[key], {**beside, **others}, depth - 1)
    yield content, beside


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
        with warnings.catch_warnings():  # the array is read-only, and so is the tensor
            warnings.simplefilter("ignore")
            return torch.from_numpy(np.asarray(value))
    return None


def convert_checked(weights: Mapping[str, Tensor]) -> Report:
    """Convert, and compare with the model that the shapes describe: every weight of the source
    is used or named, every weight of the model filled or named.

    Raises:
        CheckpointError: unknown names, missing weights, wrong shapes or types, weights that are
            not finite.
    """
    try:
        return _convert_checked(weights)
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise _incomplete(error) from error
    except ValueError as error:
        if isinstance(error, CheckpointError):
            raise
        raise _incomplete(error) from error


def _incomplete(error: Exception) -> CheckpointError:
    return CheckpointError(
        "the weights are incomplete or misshapen: their shapes do not tell what the model is "
        f"({type(error).__name__}: {error})".replace("\n", " ")
    )


def _convert_checked(weights: Mapping[str, Tensor]) -> Report:
    conversion = convert(weights)
    name = conversion.source.name
    shapes = {key: tuple(tensor.shape) for key, tensor in conversion.state_dict.items()}
    head = read_head(shapes)
    inside = {n[9:]: s for n, s in shapes.items() if n.startswith("backbone.")}
    backbone = read_backbone(inside or shapes)
    if backbone is None or bool(inside) != (head is not None):
        raise CheckpointError(
            f"{name} without a known backbone or without a head: of {len(shapes)} weights the "
            f"first are {listing(list(shapes), 4)}"
        )
    queried = head is not None and head.type == "MaskFormerHead"
    if "criterion.empty_weight" in conversion.unused and not queried:
        raise CheckpointError(f"{name}, {describe(shapes)}, lacks the classifier of its queries")
    expected = target_weights(backbone, head)
    unfilled = {}
    if head is None and backbone.num_heads is not None:
        norms = [f"norm{i}.{kind}" for i in range(4) for kind in ("weight", "bias")]
        unfilled = {
            key: "is not part of a classifier; keeps its initial value"
            for key in norms
            if key not in shapes
        }
    wanted = {key: tuple(t.shape) for key, t in expected.items() if key not in unfilled}
    problems = compare(shapes, wanted) or bad_values(conversion.state_dict, expected)
    if problems:
        raise CheckpointError(
            f"{name}, {describe(shapes)}, is not complete: {listing(problems, 4)}"
        )
    classes = None if head is None else head.num_classes
    return Report(conversion, describe(shapes), unfilled, classes)


def check_fits(report: Report, model: dict, source: str, config: str) -> None:
    """Raise CheckpointError unless a conversion has the weights of a config's model.

    Args:
        source, config: what the error calls the two.
    """
    expected = {name: tuple(t.shape) for name, t in model_weights(model).items()}
    shapes = {name: tuple(t.shape) for name, t in report.conversion.state_dict.items()}
    problems = compare(shapes, expected)
    if problems:
        raise CheckpointError(
            f"{source} is {report.description}; {config} builds {describe(expected)}: "
            f"{listing(problems, 4)}"
        )


def bad_values(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Weights of another kind of type, or not finite, one short text each."""
    problems = []
    for key, tensor in weights.items():
        if tensor.is_floating_point() != expected[key].is_floating_point():
            problems.append(f"{key} is of type {tensor.dtype}")
        elif tensor.is_floating_point() and not tensor.is_meta and not tensor.isfinite().all():
            problems.append(f"{key} is not finite")
    return problems


def target_weights(backbone: Backbone, head: Head | None) -> dict[str, Tensor]:
    """Weights of the model that was read off a source, without memory for their values."""
    cfg = backbone_cfg(backbone)
    if head is not None:
        decode_head = head_cfg(head, backbone)
        cfg = dict(type="mmmaskformer.MaskFormer", backbone=cfg, decode_head=decode_head)
    return model_weights(cfg)


class WithoutMemory(TorchFunctionMode):
    """Parameters and buffers on the meta device; `torch.device("meta")` would put there what
    mmseg's Swin computes with in its constructor, too."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def model_weights(cfg: dict) -> dict[str, Tensor]:
    """Weights of a config's model, without memory for their values."""
    # Imported here: reading and renaming weights must work where OpenMMLab is not installed.
    from mmseg.utils import register_all_modules

    from ..registry import MODELS

    register_all_modules(init_default_scope=False)
    with WithoutMemory():
        model = MODELS.build(cfg)
    return model.state_dict()


def backbone_cfg(backbone: Backbone) -> dict:
    """The config of a backbone, as far as weights go."""
    if backbone.arch is not None:
        return dict(type="mmmaskformer.EfficientNetLite", arch=backbone.arch)
    if backbone.num_heads is not None:
        return dict(
            type="mmseg.SwinTransformer",
            embed_dims=backbone.channels[0],
            depths=backbone.blocks,
            num_heads=backbone.num_heads,
            window_size=backbone.window_size,
        )
    if backbone.depth is None:
        raise CheckpointError(f"no ResNet has {backbone.blocks} blocks per stage")
    cfg = dict(type="mmseg.ResNet", depth=backbone.depth, norm_cfg=dict(type="BN"))
    if backbone.stem_channels is not None:
        cfg.update(type="mmseg.ResNetV1c", stem_channels=backbone.stem_channels)
    return cfg


def head_cfg(head: Head, backbone: Backbone) -> dict:
    """Our config of a head, as far as weights go."""
    cfg = dict(
        type=f"mmmaskformer.{head.type}",
        in_channels=backbone.channels,
        num_classes=head.num_classes,
        channels=head.channels,
        mask_channels=head.mask_channels,
    )
    if head.encoder_layers:
        cfg["pixel_decoder"] = dict(
            type="TransformerEncoderPixelDecoder",
            num_layers=head.encoder_layers,
            feedforward_channels=head.encoder_feedforward,
        )
    if head.decoder_layers is not None:
        cfg.update(
            project_memory=head.project_memory,
            transformer_decoder=dict(
                num_layers=head.decoder_layers,
                feedforward_channels=head.decoder_feedforward,
                self_attention=head.self_attention,
            ),
        )
    if head.type == "MaskFormerHead":
        cfg["num_queries"] = head.num_queries
    return cfg


def write_checkpoint(state_dict: Mapping[str, Tensor], path: str | Path, meta: dict) -> None:
    """Write `{'meta', 'state_dict'}` as mmengine does, with checksums; complete or not at all."""
    checkpoint: dict[str, Any] = dict(meta=meta, state_dict=dict(state_dict))
    checkpoint[checksum.KEY] = checksum.stamp(checkpoint)
    with replacing(Path(path).expanduser()) as work:
        torch.save(checkpoint, work)
