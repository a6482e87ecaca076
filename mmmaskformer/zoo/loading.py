"""A model that is ready to predict, from a name or a config and a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from mmseg.apis import init_model
from mmseg.models import EncoderDecoder

from ..engine.runner import read_config
from .models import config_file


def load(
    name_or_config: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "auto",
) -> EncoderDecoder:
    """The model of a config, with the weights of a checkpoint, in evaluation mode.

    Args:
        name_or_config: a name of `zoo.names()`, or the path of a config.
        checkpoint: a checkpoint of mmengine.
        device: "auto" is a GPU where there is one.

    Raises:
        FileNotFoundError, ValueError: no such model or checkpoint, or they do not belong together.
    """
    cfg = read_config(str(config_file(name_or_config)))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = init_model(cfg, None if checkpoint is None else str(checkpoint), device=str(device))
    if model.dataset_meta is None:
        model.dataset_meta = {}  # which becomes the names of the config's dataset
    return model
