"""The calls that a pickle may ask for, each with a check of all its arguments."""

from __future__ import annotations

import collections
import math
import pickle
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from .limits import Limits


class Unknown:
    """What stands for a name, and for everything that is made by calling an unknown one."""

    def __init__(self, name: str) -> None:
        self.name = "".join(c if c.isprintable() else "?" for c in name)


class Blank(Unknown):
    """An object whose state has not come yet.

    Attributes:
        value: the object, once it has; what the stream refers to from then on.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.value: Any = self

    def fill(self, state: Any, limits: Limits) -> Any:
        self.value = self.made(state, limits)
        return self.value

    def made(self, state: Any, limits: Limits) -> Any:
        raise NotImplementedError


class BlankArray(Blank):
    def made(self, state: Any, limits: Limits) -> Any:
        if type(state) is not tuple or len(state) != 5:
            refuse("an array")
        _, shape, dtype, fortran, content = state
        return _array(limits, content, dtype, shape, "F" if fortran is True else "C")


class BlankHistory(Blank):
    """mmengine's HistoryBuffer; made by its constructor, because its way to take a state writes
    into the class."""

    def made(self, state: Any, limits: Limits) -> Any:
        try:
            from mmengine.logging import HistoryBuffer
        except ImportError:  # weights are read without OpenMMLab, too
            return Unknown(self.name)
        state = state if type(state) is dict else {}
        values, counts = state.get("_log_history"), state.get("_count_history")
        if not (isinstance(values, np.ndarray) and isinstance(counts, np.ndarray)):
            refuse("a HistoryBuffer")
        fits = values.ndim == 1 and values.shape == counts.shape
        length = state.get("max_length")
        if not fits or type(length) is not int or length < len(values):
            refuse("a HistoryBuffer")
        limits.spend(values.nbytes + counts.nbytes)
        return HistoryBuffer(values, counts, length)


class DType(Blank):
    """A type of numbers; what the stream refers to is this, because its state changes it."""

    def __init__(self, dtype: np.dtype) -> None:
        super().__init__("'numpy.dtype'")
        self.dtype = dtype

    def fill(self, state: Any, limits: Limits) -> Any:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            refuse("'numpy.dtype'")
        if state[1] == ">":  # Of a simple type's state only the byte order says anything.
            self.dtype = self.dtype.newbyteorder(">")
        return self


def refuse(name: str) -> NoReturn:
    raise pickle.UnpicklingError(f"it asks for {name} with arguments that do not belong to it")


def type_name(value: Any) -> str:
    """What something is, for messages; never what it holds."""
    return value.name if isinstance(value, Unknown) else type(value).__name__


def are_counts(*values: Any) -> bool:
    """Whether all are whole numbers that a size, a stride or an offset may be."""
    return all(type(value) is int and 0 <= value < 1 << 62 for value in values)


# numpy


def _dtype(limits: Limits, name: Any, *_: Any) -> Unknown:
    name = name.decode("latin1") if type(name) is bytes else name
    if type(name) is not str or not re.fullmatch(r"[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)", name):
        return Unknown(f"arrays of type {name[:20]!r}" if type(name) is str else "'numpy.dtype'")
    return DType(np.dtype(name))


def _array(limits: Limits, content: Any, dtype: Any, shape: Any, order: Any = "C") -> Any:
    """A read-only array of simple numbers."""
    if isinstance(dtype, Unknown) and not isinstance(dtype, DType):
        return dtype
    if type(content) is str:  # bytes of Python 2
        limits.spend(len(content))
        content = content.encode("latin1")
    simple = (
        type(content) in (bytes, bytearray)
        and isinstance(dtype, DType)
        and type(shape) is tuple
        and len(shape) <= 32
        and are_counts(*shape)
        and order in ("C", "F")
    )
    if not simple or len(content) != math.prod(shape) * dtype.dtype.itemsize:
        raise pickle.UnpicklingError("it asks for an array that is not of simple numbers")
    if not content:
        return np.zeros(shape, dtype.dtype)
    return np.frombuffer(bytes(content), dtype.dtype).reshape(shape, order=order)


def _scalar(limits: Limits, dtype: Any, content: Any = b"") -> Any:
    value = _array(limits, content, dtype, ())
    return value if isinstance(value, Unknown) else value[()]


def _blank_array(limits: Limits, *_: Any) -> Blank:
    return BlankArray("an array")


def _blank_history(limits: Limits) -> Blank:
    return BlankHistory("a HistoryBuffer")


# Python


def _encode(limits: Limits, text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1", "utf-8", "utf8"):
        refuse("'_codecs.encode'")
    limits.spend(4 * len(text))
    return text.encode(encoding)


def _bytes(limits: Limits, content: Any = b"", *encoding: Any) -> bytes:
    if encoding:
        return _encode(limits, content, *encoding)
    whole = type(content) in (bytes, bytearray) or (
        type(content) is list and all(type(byte) is int and 0 <= byte < 256 for byte in content)
    )
    if not whole:
        refuse("'builtins.bytes'")
    limits.spend(len(content))
    return bytes(content)


def _ordered_dict(limits: Limits, items: Any = ()) -> Any:
    made: collections.OrderedDict[Any, Any] = collections.OrderedDict()
    if type(items) not in (list, tuple):
        refuse("'collections.OrderedDict'")
    for item in items:
        if type(item) not in (list, tuple) or len(item) != 2 or type(item[0]) is not str:
            refuse("'collections.OrderedDict'")
        made[item[0]] = item[1]
    limits.spend(100 * len(made))
    return made


def _dict(limits: Limits, *arguments: Any) -> dict:
    """A copy of the dict among the arguments of a dict's subclass; a default's maker is let go."""
    if len(arguments) > 1 or not all(type(a) is dict or isinstance(a, Unknown) for a in arguments):
        refuse("a kind of dict")
    given = next((argument for argument in arguments if type(argument) is dict), {})
    limits.spend(100 * len(given))
    return dict(given)


def _deque(limits: Limits, items: Any = (), length: Any = None) -> collections.deque:
    if type(items) not in (list, tuple) or not (length is None or are_counts(length)):
        refuse("'collections.deque'")
    limits.spend(100 * len(items))
    return collections.deque(items, length)


def _set(limits: Limits, items: Any = ()) -> set:
    if type(items) is not list or not all(type(i) in (str, int, float, bool) for i in items):
        refuse("'builtins.set'")
    limits.spend(100 * len(items))
    return set(items)


def _complex(limits: Limits, real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        refuse("'builtins.complex'")
    return complex(real, imaginary)


# torch


def _tensor(limits: Limits, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Any:
    """A view of a storage, which has to lie inside of it."""
    if not isinstance(storage, torch.storage.TypedStorage):
        refuse("a tensor")
    requires_grad = more[0] if more else False
    dtype = more[2] if len(more) > 2 and isinstance(more[2], torch.dtype) else storage.dtype
    size = tuple(size) if type(size) is torch.Size else size
    fits = (
        type(size) is type(stride) is tuple
        and len(size) == len(stride) <= 64
        and are_counts(offset, *size, *stride)
        and type(requires_grad) is bool
    )
    if not fits:
        refuse("a tensor")
    numel = math.prod(size)
    last = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    end = offset + last + 1 if numel else offset
    whole = storage._untyped_storage
    if end * dtype.itemsize > whole.nbytes() or numel >= 1 << 62:
        raise pickle.UnpicklingError("it is damaged: a tensor reaches beyond its storage")
    limits.spend(numel * dtype.itemsize)
    tensor = torch.empty(0, dtype=dtype, device=whole.device).set_(whole, offset, size, stride)
    return tensor.requires_grad_() if requires_grad and dtype.is_floating_point else tensor


def _parameter(limits: Limits, data: Any, requires_grad: Any = True, *_: Any) -> Any:
    if not isinstance(data, Tensor) or type(requires_grad) is not bool:
        refuse("a parameter")
    return torch.nn.Parameter(data.detach(), requires_grad and data.is_floating_point())


def _size(limits: Limits, size: Any = ()) -> torch.Size:
    if type(size) is not tuple or not are_counts(*size):
        refuse("'torch.Size'")
    return torch.Size(size)


DEVICE = re.compile(r"[a-z]{1,20}(:\d{1,3})?")


def _device(limits: Limits, kind: Any, *index: Any) -> torch.device:
    if type(kind) is not str or not DEVICE.fullmatch(kind) or len(index) > 1:
        refuse("'torch.device'")
    return torch.device(kind, *index) if are_counts(*index) else refuse("'torch.device'")


def storage_record(record: Any) -> tuple:
    """A persistent record, where it is a storage's: 'storage', type, key, location, number of
    elements; in files of torch before 1.6 a part of a storage besides.

    Raises:
        pickle.UnpicklingError: for anything else.
    """
    if type(record) is not tuple or len(record) not in (5, 6):
        raise pickle.UnpicklingError("it asks for a persistent record that is no storage")
    word, kind, key, location, numel, *view = (
        part.decode("latin1") if type(part) is bytes else part for part in record
    )
    if isinstance(kind, Unknown) and kind.name.endswith(".UntypedStorage'"):
        kind = torch.UntypedStorage
    whole = (
        word == "storage"
        and (kind is torch.UntypedStorage or type(kind).__name__ == "StorageType")
        and type(key) is type(location) is str
        and DEVICE.fullmatch(location)
        and are_counts(numel)
    )
    if not whole or not _is_view(view, numel):
        raise pickle.UnpicklingError("it asks for a persistent record that is no storage")
    return (word, kind, key, location, numel, *view)


def _is_view(view: list[Any], numel: Any) -> bool:
    if not view or view[0] is None:
        return True
    if type(view[0]) is not tuple or len(view[0]) != 3:
        return False
    key, offset, size = view[0]
    return type(key) in (str, bytes) and are_counts(offset, size) and offset + size <= numel


TABLE: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.deque": _deque,
    "collections.Counter": _dict,
    "collections.defaultdict": _dict,
    "mmengine.config.config.ConfigDict": _dict,
    "mmengine.logging.history_buffer.HistoryBuffer": _blank_history,
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.bytearray": lambda *arguments: bytearray(_bytes(*arguments)),
    "builtins.complex": _complex,
    "builtins.set": _set,
    "builtins.frozenset": lambda *arguments: frozenset(_set(*arguments)),
    "numpy.dtype": _dtype,
    "torch.Size": _size,
    "torch.device": _device,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
for _core in ("core", "_core"):
    TABLE[f"numpy.{_core}.multiarray._reconstruct"] = _blank_array
    TABLE[f"numpy.{_core}.multiarray.scalar"] = _scalar
    TABLE[f"numpy.{_core}.numeric._frombuffer"] = _array


def token(full: str) -> Any:
    """What stands for a name: itself for types of numbers and storages, else a token."""
    module, _, name = full.rpartition(".")
    if module == "torch" and name.endswith("Storage"):
        try:
            return torch.serialization.StorageType(name)
        except KeyError:
            return Unknown(f"'{full}'")
    dtype = getattr(torch, name, None) if re.fullmatch(r"[a-z]+\d*\w{0,8}", name) else None
    if module == "torch" and isinstance(dtype, torch.dtype):
        return dtype
    return Unknown(f"'{full}'")


def call(function: Unknown, arguments: tuple, limits: Limits) -> Any:
    """What a call gives; of an unknown function, something unknown with its name."""
    known = TABLE.get(function.name[1:-1])
    if known is None:
        return Unknown(function.name)
    try:
        return known(limits, *arguments)
    except TypeError:  # another number of arguments
        return refuse(function.name)
