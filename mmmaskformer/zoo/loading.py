"""A model that is ready to predict, from a name or a config and a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_to_model
from mmseg.apis import init_model
from mmseg.models import EncoderDecoder

from ..backbones.frozen_norm import folded
from ..engine.fit import check_fit, checked_weights, shapes_of
from ..engine.runner import read_config
from ..heads.names import names_in, numbers
from .catalogue import MMDET, config_file
from .releases import weights

RANDOM = "random"
"""A checkpoint of this name stands for none: to try out speed, memory or an export."""


def load(
    name_or_config: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "auto",
    *,
    accept_license: bool = False,
    offline: bool = False,
    fold: bool = False,
) -> EncoderDecoder:
    """The model of a config, with the weights of a checkpoint, in evaluation mode.

    Its `dataset_meta` has `classes` and `palette`, and `isthing` if it tells things from stuff.

    Args:
        name_or_config: a name of `zoo.names()`, or the path of a config.
        checkpoint: a checkpoint of mmengine; None: the released weights (`zoo.weights`); "random":
            none, for trials.
        device: "auto" is a GPU where there is one.
        accept_license: agree to the licence of the released weights.
        offline: download nothing.
        fold: make frozen norms a part of the convolutions before them, which predicts faster; the
            weights then have other names than those of checkpoints.

    Raises:
        FileNotFoundError, ValueError: no such model or checkpoint, or they do not belong together.
    """
    cfg = read_config(str(config_file(name_or_config)))
    check_segmentor(cfg)
    device = find_device(device)
    if checkpoint is None:
        checkpoint = weights(name_or_config, accept_license=accept_license, offline=offline)
        content = read_cached(checkpoint)
    else:
        content = None if checkpoint == RANDOM else read_checkpoint(checkpoint)
    model = init_model(cfg, None, device="cpu")
    meta = {} if content is None else fill(model, content, str(checkpoint))
    model.dataset_meta = class_names(meta, model)
    if fold:
        model.backbone = folded(model.backbone)
    return model.to(device)


def check_segmentor(cfg: Config) -> None:
    """Raise ValueError for a config without a model, or with one of mmdet."""
    if "test_dataloader" not in cfg or "type" not in cfg.get("model", {}):
        raise ValueError(f"{cfg.filename} is no config of a model with a test_dataloader")
    if cfg.get("default_scope", "mmseg") != "mmseg":
        name = Path(cfg.filename).stem
        sibling = name.removesuffix(MMDET)
        instead = f"; take {sibling}, the same model for mmseg" if sibling != name else ""
        raise ValueError(
            f"{name} is a config of {cfg.default_scope}, and predictions are made with mmseg's"
            f"{instead}"
        )


def find_device(device: str | torch.device) -> torch.device:
    """A device that torch has; "auto" is a GPU where there is one.

    Raises:
        ValueError: there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        probe = torch.zeros(1, device=device)
        probe.item()  # which "meta", a device without numbers, can not do
        return probe.device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        text = str(error).splitlines()[0]
        raise ValueError(f"device {str(device)!r} can not be used: {text}") from error


def read_checkpoint(path: str | Path) -> Any:
    """The content of a checkpoint, of a path or an address."""
    try:
        return CheckpointLoader.load_checkpoint(str(path), "cpu", logger="silent")
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def read_cached(path: Path) -> Any:
    """The content of a checkpoint that `weights` has made; an error says how to have it anew."""
    try:
        return read_checkpoint(path)
    except ValueError as error:
        raise ValueError(f"{error}; delete it, and the next call downloads it again") from error


def fill(model: EncoderDecoder, content: Any, path: str) -> Mapping:
    """Load weights into a model; what the checkpoint says of its dataset.

    Raises:
        ValueError: there are none, or they are of another model, or not finite.
    """
    fresh = model.state_dict()
    found = checked_weights(content, fresh, path)
    check_fit(shapes_of(found), shapes_of(fresh), path, model.cfg.filename)
    _load_checkpoint_to_model(model, content, logger="silent", revise_keys=[(r"^module\.", "")])
    meta = content.get("meta")
    stated = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    return stated if isinstance(stated, Mapping) else {}


def class_names(meta: Mapping, model: EncoderDecoder) -> dict:
    """`classes`, `palette`, `isthing` and `category_ids`: a checkpoint's, else those of the
    config's dataset, which also fill in what a checkpoint leaves out of the same classes."""
    count = model.num_classes
    names = {**numbers(count), **names_in(model.cfg, count)}
    if len(meta.get("classes") or ()) == count:
        same = list(meta["classes"]) == list(names["classes"])
        names = {**(names if same else numbers(count)), **meta}
    isthing = getattr(getattr(model.decode_head, "panoptic_fusion", None), "isthing", None)
    return names if isthing is None else {**names, "isthing": list(isthing)}
