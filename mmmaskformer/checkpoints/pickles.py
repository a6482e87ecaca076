"""Unpicklers that build arrays, tensors and plain containers, and run nothing else.

Names that a pickle may ask for are looked up in tables; numpy's own constructors are not among
them, because with raw shapes, strides and object arrays they can be made to write anywhere. What
stands in for them takes numbers of simple types from bytes, and nothing more.

The Python implementation of the unpickler is used, because some opcodes have to be shut.
"""

from __future__ import annotations

import collections
import math
import pickle
import re
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np


class _Blank:
    """An array whose state has not come yet."""

    def fill(self, state: Any) -> np.ndarray:
        _, shape, dtype, fortran, content = state
        return array_from_bytes(content, dtype, shape, "F" if fortran else "C")


def array_from_bytes(
    content: Any, dtype: Any, shape: Any, order: Literal["C", "F"] = "C", *_: Any
) -> np.ndarray:
    """A read-only array of simple numbers.

    Raises:
        pickle.UnpicklingError: anything but bytes, a simple dtype and a shape that fits.
    """
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin1")
    simple = (
        isinstance(content, (bytes, bytearray))
        and isinstance(dtype, np.dtype)
        and dtype.kind in "biufc"
        and isinstance(shape, tuple)
        and all(isinstance(n, int) and n >= 0 for n in shape)
    )
    if not simple or len(content) != math.prod(shape) * dtype.itemsize:
        raise pickle.UnpicklingError("it asks for an array that is not of simple numbers")
    if not content:
        return np.zeros(shape, dtype)
    return np.frombuffer(bytes(content), dtype).reshape(shape, order=order)


def _blank_array(*_: Any) -> _Blank:
    return _Blank()


def _array_class(*_: Any) -> None:
    raise pickle.UnpicklingError("it asks for 'numpy.ndarray' to be called")


def _simple_dtype(name: Any, *_: Any) -> np.dtype:
    name = name.decode("latin1") if isinstance(name, bytes) else name
    if not isinstance(name, str) or not re.fullmatch(r"[<>=|]?[biufc]\d{1,2}|\?", name):
        raise pickle.UnpicklingError(f"it asks for arrays of type {name!r}")
    return np.dtype(name)


def _scalar(dtype: Any, content: Any) -> Any:
    return array_from_bytes(content, dtype, ())[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "utf8"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode(encoding)


def _bytes(content: Any = b"", *encoding: Any) -> bytes:
    if encoding:
        return _encode(content, *encoding)
    if not isinstance(content, (bytes, list)):
        raise pickle.UnpicklingError(f"it asks for bytes of {type(content).__name__}")
    return bytes(content)


ARRAYS: dict[str, Callable] = {
    "collections OrderedDict": collections.OrderedDict,
    "_codecs encode": _encode,
    "numpy ndarray": _array_class,
    "numpy dtype": _simple_dtype,
}
for _core in ("core", "_core"):
    ARRAYS[f"numpy.{_core}.multiarray _reconstruct"] = _blank_array
    ARRAYS[f"numpy.{_core}.multiarray scalar"] = _scalar
    ARRAYS[f"numpy.{_core}.numeric _frombuffer"] = array_from_bytes
for _builtins in ("builtins", "__builtin__"):
    ARRAYS[f"{_builtins} bytes"] = ARRAYS[f"{_builtins} bytearray"] = _bytes


DISPATCH: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch
"""Python's own way with each opcode."""


class ArrayUnpickler(pickle._Unpickler):
    """Admits numpy arrays of simple numbers and plain containers; refuses the rest by name."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(DISPATCH)
    table = ARRAYS
    stack: list[Any]
    memo: dict[int, Any]

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.table[f"{module} {name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for '{module}.{name}'") from None

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Blank):
            self.replace(target, target.fill(state))
        elif isinstance(target, np.dtype):
            # Of a simple type's state only the byte order says anything.
            order: Literal["<", ">", "="] = state[1] if state[1] in ("<", ">") else "="
            self.replace(target, target.newbyteorder(order))
        else:
            self.build(target, state)

    def build(self, target: Any, state: Any) -> None:
        """Set an object's state."""
        raise pickle.UnpicklingError(f"it asks to change {target!r}")

    def replace(self, old: Any, new: Any) -> None:
        """Put an object in the place of another, just made, on the stack and in the memo."""
        self.stack[-1] = new
        for key in reversed(self.memo):
            if self.memo[key] is old:
                self.memo[key] = new
                return

    def refuse_persistent(self) -> None:
        raise pickle.UnpicklingError("it asks for a persistent record")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.PERSID[0]] = dispatch[pickle.BINPERSID[0]] = refuse_persistent


TORCH = re.compile(
    r"(builtins|__builtin__) (set|frozenset|slice|complex|int|float|bool|str|list|dict|tuple"
    r"|range|object)"
    r"|collections (defaultdict|deque)"
    r"|copyreg _reconstructor|copy_reg _reconstructor"
    r"|torch ([A-Z][A-Za-z0-9]*Storage|Size|device|Tensor|Generator"
    r"|u?int\d+|float\d+\w*|bfloat16|complex\d+|bool|qu?int\d+)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)"
    r"|torch\.nn\.parameter Parameter"
    r"|torch\.storage (TypedStorage|UntypedStorage)"
    r"|torch\.serialization _get_layout"
    r"|mmengine\.logging\.history_buffer HistoryBuffer(\.(min|max|mean|current))?"
)


class CheckpointUnpickler(ArrayUnpickler):
    """Admits what checkpoints of torch and mmengine hold, too, and torch's storages."""

    dispatch = dict(ArrayUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if name == "getattr" and module in ("builtins", "__builtin__"):
            return _history_buffer_method
        if TORCH.fullmatch(f"{module} {name}"):
            return pickle._Unpickler.find_class(self, module, name)
        return super().find_class(module, name)

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, type) or callable(target):
            raise pickle.UnpicklingError(f"it asks to change {target!r}")
        self.stack.append(state)
        DISPATCH[pickle.BUILD[0]](self)

    def load_binpersid(self) -> None:
        record = self.stack[-1]
        if not isinstance(record, tuple) or record[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError(f"it asks for the persistent record {record!r}")
        DISPATCH[pickle.BINPERSID[0]](self)

    dispatch[pickle.BINPERSID[0]] = load_binpersid


def _history_buffer_method(owner: Any, name: Any) -> Callable:
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"it asks for 'getattr({owner!r}, {name!r})'")
