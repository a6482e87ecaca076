"""Checkpoints of other implementations to files that this package's configs load.

What `tools/convert_weights.py` does, as functions: read safely, convert, check, write.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmseg.utils import register_all_modules
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .compat import load_checkpoint_file, load_pickle_file
from .core.architecture import Backbone, Head, compare, describe, read_backbone, read_head, some
from .core.checkpoint import CheckpointError, Conversion, convert
from .registry import MODELS


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


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights in a `.pkl`, `.pth`, `.bin` or `.safetensors` file, without running code.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is damaged, would run code, or holds no weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} can not be found")
    try:
        content = _read_file(path)
    except RuntimeError as error:
        raise CheckpointError(str(error)) from error
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    weights = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        tensor = _as_tensor(value)
        if isinstance(name, str) and tensor is not None:
            weights[name] = tensor
    strange = [str(name) for name in content if name not in weights] if weights else []
    if strange or not weights:
        what = f"entries that are no arrays: {some(strange)}" if strange else "no weights"
        raise CheckpointError(
            f"{path} holds {what}; wanted is a dict of arrays by name, alone or under 'model' or "
            "'state_dict'"
        )
    return weights


def _read_file(path: Path):
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise CheckpointError(f"to read {path}, run: pip install safetensors") from error
        try:
            return load_file(path)
        except Exception as error:
            raise CheckpointError(f"{path} is damaged or incomplete: {error}") from error
    with open(path, "rb") as file:
        start = file.read(2)
    # A bare pickle; torch's files are zip archives or begin with a pickled magic number.
    if path.suffix == ".pkl" and start[:1] == pickle.PROTO:
        return load_pickle_file(path)
    return load_checkpoint_file(str(path), "cpu")


def _as_tensor(value) -> Tensor | None:
    if isinstance(value, Tensor):
        return value.detach()
    if type(value).__module__ == "numpy" and value.dtype.kind in "fiub":
        with warnings.catch_warnings():  # the array is read-only, and so is the tensor
            warnings.simplefilter("ignore")
            return torch.from_numpy(value) if value.ndim else torch.tensor(value.item())
    return None


def convert_checked(weights: Mapping[str, Tensor]) -> Report:
    """Convert, and compare with the model that the shapes describe: every weight of the source
    is used or named, every weight of the model filled or named.

    Raises:
        CheckpointError: unknown names, missing weights or wrong shapes.
    """
    conversion = convert(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in conversion.state_dict.items()}
    head = read_head(shapes)
    inside = {n[9:]: s for n, s in shapes.items() if n.startswith("backbone.")}
    backbone = read_backbone(inside or shapes)
    if backbone is None or bool(inside) != (head is not None):
        raise CheckpointError(
            f"{conversion.source.name} without a known backbone or without a head: of "
            f"{len(shapes)} weights the first are {some(list(shapes))}"
        )
    expected = target_shapes(backbone, head)
    unfilled = {}
    if head is None:
        unfilled = {
            name: "is not part of a classifier; keeps its initial value"
            for name in expected
            if name not in shapes and name.startswith("norm") and backbone.num_heads is not None
        }
    problems = compare(shapes, {n: s for n, s in expected.items() if n not in unfilled})
    if problems:
        raise CheckpointError(
            f"{conversion.source.name}, {describe(shapes)}, is not complete: {some(problems)}"
        )
    classes = None if head is None else head.num_classes
    return Report(conversion, describe(shapes), unfilled, classes)


def target_shapes(backbone: Backbone, head: Head | None) -> dict[str, tuple]:
    """Names and shapes of the weights of the model that was read off a source."""
    cfg = backbone_cfg(backbone)
    if head is not None:
        decode_head = head_cfg(head, backbone)
        cfg = dict(type="mmmaskformer.MaskFormer", backbone=cfg, decode_head=decode_head)
    return model_shapes(cfg)


class WithoutMemory(TorchFunctionMode):
    """Parameters and buffers on the meta device; `torch.device("meta")` would put there what
    mmseg's Swin computes with in its constructor, too."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def model_shapes(cfg: dict) -> dict[str, tuple]:
    """Names and shapes of the weights of a config's model, without memory for their values."""
    register_all_modules(init_default_scope=False)
    with WithoutMemory():
        model = MODELS.build(cfg)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def backbone_cfg(backbone: Backbone) -> dict:
    """mmseg's config of a backbone, as far as weights go."""
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
    """Write `{'meta', 'state_dict'}` as mmengine does; complete or not at all."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(dict(meta=meta, state_dict=dict(state_dict)), work)
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)
