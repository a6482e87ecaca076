"""An interpreter of pickles that builds plain data, arrays and tensors, and calls nothing else.

What a stream names is never looked up in a module: a name is a token. The few in the table of
`calls` have a function there that checks every argument; all others stay tokens, whatever the
stream does with them. No opcode makes an object of a class, compares or prints what it was given,
or takes more memory than the stream's own bytes account for.

Python's own interpreter is the base class: its way with numbers, texts and the stack is harmless.
"""

from __future__ import annotations

import collections
import pickle
import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .calls import Blank, Unknown, call, storage_record, token, type_name
from .limits import Limits

SCALARS = frozenset([str, int, float, bool, bytes, complex, type(None)])
MAPPINGS = (dict, collections.OrderedDict)


class Unpickler(pickle._Unpickler):
    """Reads one pickle; the result has to go through `settle` before anybody uses it.

    Args:
        limits: what the stream may cost.
        storage: what makes a storage of a persistent record; without it there may be none.

    Attributes:
        names: of everything that the stream asks for.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    memo: dict[int, Any]
    proto: int
    readline: Callable[[], bytes]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self,
        file: Any,
        *,
        limits: Limits,
        storage: Callable[[tuple], Any] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        super().__init__(file, encoding=encoding)
        self.limits = limits
        self.storage = storage or self.refuse
        self.names: set[str] = set()
        # The loop of the base class looks every opcode up here.
        vars(self)["dispatch"] = _Counted(self.dispatch, self.limits)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"[:200]
        full = re.sub("^__builtin__\\.", "builtins.", full)
        self.names.add(full)
        return token(full)

    def call(self, function: Any, arguments: Any) -> Any:
        """What stands for the result of a call."""
        if not isinstance(function, Unknown) or type(arguments) is not tuple:
            raise pickle.UnpicklingError(f"it asks for a {type_name(function)} to be called")
        return call(function, arguments, self.limits)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], arguments)

    def load_newobj_ex(self) -> None:
        options = self.stack.pop()
        self.load_reduce()
        if type(options) is not dict or options:
            self.stack[-1] = Unknown(f"{type_name(self.stack[-1])} with options")

    def _instantiate(self, function: Any, arguments: Any) -> None:
        self.stack.append(self.call(function, tuple(arguments)))

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Blank):
            self.stack[-1] = target.fill(state, self.limits)
        elif type(target) is collections.OrderedDict and type(state) is dict:
            if set(state) <= {"_metadata"} and isinstance(state.get("_metadata"), MAPPINGS):
                vars(target).update(state)  # versions of the modules of a state_dict
        elif not isinstance(target, Unknown):
            raise pickle.UnpicklingError(f"it asks to change a {type_name(target)}")

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise pickle.UnpicklingError("it is damaged: it refers to what is not there")
        value = self.memo[index]
        self.stack.append(value.value if isinstance(value, Blank) else value)

    def load_get(self) -> None:
        self.get(int(self.readline()[:-1]))

    def load_binget(self) -> None:
        self.get(self.read(1)[0])

    def load_long_binget(self) -> None:
        self.get(int.from_bytes(self.read(4), "little"))

    def put(self, target: Any, key: Any, value: Any) -> None:
        if isinstance(target, Unknown) or not _may_be_key(key):
            return
        if type(target) not in MAPPINGS:
            raise pickle.UnpicklingError(f"it asks to change a {type_name(target)}")
        target[key] = value

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put(self.stack[-1], key, value)

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.put(self.stack[-1], key, value)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.put(self.stack[-1], key, value)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) in (list, collections.deque):
            target.extend(items)
        elif type(target) is set:
            target.update(item for item in items if _may_be_key(item))
        elif not isinstance(target, Unknown):
            raise pickle.UnpicklingError(f"it asks to change a {type_name(target)}")

    def load_append(self) -> None:
        self.extend([self.stack.pop()])

    def load_appends(self) -> None:
        self.extend(self.pop_mark())

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.stack.append(frozenset(item for item in items if _may_be_key(item)))

    def load_bytearray8(self) -> None:
        # Read before room is made for it, so that the number may be too large.
        self.stack.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_binpersid(self) -> None:
        self.stack[-1] = self.persistent_load(storage_record(self.stack[-1]))

    def persistent_load(self, record: Any) -> Any:
        return self.storage(record)

    def refuse(self, *_: Any) -> Any:
        raise pickle.UnpicklingError("it asks for a persistent record")

    for _opcode, _load in {
        **{pickle.REDUCE: load_reduce, pickle.NEWOBJ: load_reduce},
        **{pickle.NEWOBJ_EX: load_newobj_ex, pickle.BUILD: load_build},
        **{pickle.GET: load_get, pickle.BINGET: load_binget},
        pickle.LONG_BINGET: load_long_binget,
        **{pickle.SETITEM: load_setitem, pickle.SETITEMS: load_setitems, pickle.DICT: load_dict},
        **{pickle.APPEND: load_append, pickle.APPENDS: load_appends},
        **{pickle.ADDITEMS: load_appends, pickle.FROZENSET: load_frozenset},
        **{pickle.BYTEARRAY8: load_bytearray8, pickle.BINPERSID: load_binpersid},
        # Extensions, texts as records and buffers outside of the stream are in no checkpoint.
        **dict.fromkeys((pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID), refuse),
        **dict.fromkeys((pickle.NEXT_BUFFER, pickle.READONLY_BUFFER), refuse),
    }.items():
        dispatch[_opcode[0]] = _load


class _Counted(dict):
    """The table of opcodes, which counts."""

    def __init__(self, table: dict[int, Callable[[Any], None]], limits: Limits) -> None:
        super().__init__(table)
        self.limits = limits

    def __getitem__(self, opcode: int) -> Callable[[Any], None]:
        self.limits.objects -= 1
        if self.limits.objects < 0:
            self.limits.refuse("has too many objects")
        if opcode not in self:
            raise pickle.UnpicklingError(f"it is damaged or no checkpoint: it has a byte {opcode}")
        return super().__getitem__(opcode)


def _may_be_key(key: Any) -> bool:
    """Whether something may be hashed: plain values, and flat tuples of them.

    A token is no key, and is left out with its value.

    Raises:
        pickle.UnpicklingError: for containers, whose hash could take for ever.
    """
    if type(key) in SCALARS:
        return True
    if type(key) is tuple and all(type(part) in SCALARS for part in key):
        return True
    if type(key) in (tuple, list, dict):
        raise pickle.UnpicklingError("a key in it is a container")
    return False


DEPTH = 100
"""Levels of containers in containers; checkpoints have about ten."""
LEAVES = re.compile(
    r"(torch\.)?(Tensor|Parameter|dtype|device|Size|set|frozenset|bytearray|ndarray|HistoryBuffer)"
)


class Settler:
    """Makes what an `Unpickler` built fit for use.

    Attributes:
        left_out: names of what was unknown.
    """

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self._known: dict[int, tuple[int, int, str]] = {}

    def settle(self, content: Any, required: bool) -> None:
        """Take out what is unknown: dicts lose the entry, lists have None instead of it, a tuple
        with something unknown is unknown itself.

        Args:
            required: unknown things are an error.

        Raises:
            pickle.UnpicklingError: something is unknown and required; containers that contain
                themselves, that are nested too deeply, or whose parts are shared so often that
                nobody could ever write them down.
        """
        unknown = self._visit(content, required, 0)[2]
        if unknown:
            raise pickle.UnpicklingError(f"it asks for {unknown}")

    def _visit(self, value: Any, required: bool, depth: int) -> tuple[int, int, str]:
        """Levels below, number of parts, and the name of what is unknown or nothing."""
        kind = type(value)
        if kind in SCALARS or isinstance(value, np.generic) or LEAVES.fullmatch(kind.__name__):
            return 0, 1, ""
        if kind not in (*MAPPINGS, list, tuple, collections.deque):
            return 0, 1, value.name if isinstance(value, Unknown) else f"a {kind.__name__}"
        levels, parts, unknown = self._known.get(id(value), (0, 0, ""))
        if not parts:
            self._known[id(value)] = (DEPTH, 1, "")  # met again inside of itself: too deep
            levels, parts, unknown = self._visit_parts(value, required, depth)
            self._known[id(value)] = levels, parts, unknown
        if depth + levels > DEPTH or parts > 10**8:
            raise pickle.UnpicklingError(
                "its containers contain themselves or are nested too deeply"
            )
        return levels, parts, unknown

    def _visit_parts(self, value: Any, required: bool, depth: int) -> tuple[int, int, str]:
        if depth > DEPTH:
            return DEPTH, 1, ""
        levels, parts, first = 0, 1, ""
        mapping = isinstance(value, MAPPINGS)
        for key, part in list(value.items() if mapping else enumerate(value)):
            below, count, unknown = self._visit(part, required, depth + 1)
            levels, parts = max(levels, below + 1), parts + count
            if unknown and required:
                raise pickle.UnpicklingError(f"it asks for {unknown}")
            if unknown:
                self.left_out.add(unknown)
                first = first or unknown
                if mapping:
                    del value[key]
                elif not isinstance(value, tuple):
                    value[key] = None
        return levels, parts, first if isinstance(value, tuple) else ""
