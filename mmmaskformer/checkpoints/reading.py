"""Files of weights, read without running code."""

from __future__ import annotations

import os
import pickle
import types
from typing import Any

import torch

from .pickles import ArrayUnpickler, CheckpointUnpickler


def load_pickle_file(filename: str | os.PathLike) -> Any:
    """A pickle of numpy arrays and plain containers, as Detectron2 writes its `.pkl` files.

    Raises:
        RuntimeError: the file is damaged, or holds anything else, which could run code.
    """
    with open(filename, "rb") as file:
        try:
            # Files from Python 2 hold their bytes as text.
            return ArrayUnpickler(file, encoding="latin1").load()
        except pickle.UnpicklingError as error:
            if "it asks" not in str(error):
                raise RuntimeError(f"{filename} is damaged or incomplete: {error}") from error
            raise RuntimeError(
                f"{filename} is refused: {error}, which is neither a numpy array nor a plain "
                "container and could run code"
            ) from error
        except Exception as error:
            raise RuntimeError(
                f"{filename} can not be read ({type(error).__name__}: {error}); it is damaged, "
                "incomplete, or no pickle"
            ) from error


def load_checkpoint_file(filename: str, map_location: Any = None) -> Any:
    """`torch.load` for checkpoints of torch, mmengine and the model zoos, without running code.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: the file is damaged, or holds objects that could run code.
    """
    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"checkpoint {filename} can not be found")
    if _is_torchscript(path):
        raise RuntimeError(
            f"checkpoint {filename} is refused: it is a TorchScript archive, which holds code"
        )
    pickle_module = types.ModuleType("mmmaskformer_pickle")
    vars(pickle_module).update(
        Unpickler=CheckpointUnpickler,
        load=lambda file, **kwargs: CheckpointUnpickler(file, **kwargs).load(),
    )
    try:
        return torch.load(
            path, map_location=map_location, pickle_module=pickle_module, weights_only=False
        )
    except pickle.UnpicklingError as error:
        raise RuntimeError(
            f"checkpoint {filename} is refused: {error}, which is neither a tensor nor plain "
            "data and could run code. If you trust its source, load it with "
            "torch.load(weights_only=False) and save its 'state_dict' alone"
        ) from error
    except Exception as error:
        raise RuntimeError(
            f"checkpoint {filename} can not be read ({type(error).__name__}: {error}); it is "
            "damaged, incomplete, or no torch checkpoint"
        ) from error


def _is_torchscript(path: str) -> bool:
    """Whether `torch.load` would hand the file to `torch.jit.load`, in the eyes of its reader."""
    try:
        records = torch._C.PyTorchFileReader(path).get_all_records()
    except Exception:  # no zip archive, or a damaged one, which torch.load will tell
        return False
    return "constants.pkl" in records
