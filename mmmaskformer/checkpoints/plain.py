"""Plain data for checkpoints: what every reader takes, torch's `weights_only` one among them."""

from __future__ import annotations

import argparse
import datetime
import enum
import os
import types
from collections import OrderedDict, deque
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import torch

_DROPPED = object()
_DEEPEST = 100
"""Levels of nesting; what lies deeper, as in a container that contains itself, becomes text."""


def plain(value: Any, drop: bool = False, depth: int = 0) -> Any:
    """`value` in tensors, numbers, text, bytes, None, dtypes, devices, lists, tuples and dicts.

    Other types become what is nearest: paths and dates text, sets and arrays lists, namespaces
    dicts. Tensors share their memory with the given ones.

    Args:
        drop: leave objects that have no plain form, such as functions, out of the dicts they are
            in; otherwise their text stands for them.
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach()  # no Parameter, and without attributes
    if isinstance(value, (torch.dtype, torch.device)):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        return _plain_dict(value, drop, depth + 1)
    if depth < _DEEPEST and isinstance(value, (list, tuple, deque, Set, range)):
        items = [plain(item, drop, depth + 1) for item in value]
        items = [item for item in items if item is not _DROPPED]
        return tuple(items) if isinstance(value, tuple) else items
    return _plain_object(value, drop, depth)


def _plain_dict(value: Mapping, drop: bool, depth: int) -> dict:
    copies = ((_plain_key(key), plain(item, drop, depth)) for key, item in value.items())
    kept = [(key, item) for key, item in copies if item is not _DROPPED]
    if type(value) is not OrderedDict:
        return dict(kept)
    ordered = OrderedDict(kept)
    metadata = getattr(value, "_metadata", None)  # versions of a state_dict's modules
    if metadata is not None:
        ordered.__dict__["_metadata"] = plain(metadata)
    return ordered


def _plain_key(key: Any) -> Any:
    copy = plain(key)
    try:
        hash(copy)
    except TypeError:  # a list, which a set has become
        return str(key)
    return copy if isinstance(copy, (bool, int, float, str, bytes, tuple, type(None))) else str(key)


def _plain_object(value: Any, drop: bool, depth: int) -> Any:
    if isinstance(value, enum.Enum):
        return plain(value.value, drop, depth + 1)
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.generic):
        return plain(value.item(), drop, depth + 1)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.ndim:
        try:
            return torch.from_numpy(np.ascontiguousarray(value)).clone()
        except TypeError:  # a type that torch does not have
            return plain(value.tolist(), drop, depth + 1)
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), drop, depth + 1)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        return plain(vars(value), drop, depth + 1)
    return _DROPPED if drop else _text(value)


def _text(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', '')}.{name}"
    try:
        return str(value)
    except Exception:  # a training goes on whatever its parts say of themselves
        return type(value).__name__
