"""What the signatures and the code of classes say of the keywords that they take."""

from __future__ import annotations

import ast
import inspect
import math
import numbers
import textwrap
from collections.abc import Callable
from functools import lru_cache

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

FORWARDED = {CheckpointHook: Runner.save_checkpoint}
"""Classes that keep their `**kwargs`, and the function that gets them much later."""


def package_of(built: Callable) -> str:
    return str(getattr(built, "__module__", "")).split(".")[0]


def parameter_of(built: Callable, name: str) -> inspect.Parameter | None:
    """A keyword of a class, or of those it inherits from; None without one."""
    for one in getattr(built, "__mro__", ()):
        parameter = inspect.signature(one.__init__).parameters.get(name)
        if parameter is not None:
            return parameter
    return None


def is_number(built: Callable, name: str) -> bool:
    """Whether a keyword's default or annotation says that it is a number."""
    parameter = parameter_of(built, name)
    if parameter is None:
        return False
    default = parameter.default
    real = isinstance(default, numbers.Real) and not isinstance(default, bool)
    return real or parameter.annotation in (int, float, "int", "float")


@lru_cache(None)
def taker_of(built: Callable) -> frozenset[str] | None:
    """The keywords that a class or function takes; None where nobody can know."""
    if not inspect.isclass(built):
        parameters = inspect.signature(built).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return None
        return frozenset(parameters)
    known: set[str] = set()
    for one in (c for c in built.__mro__ if "__init__" in c.__dict__):
        if one is object:
            plain = not known and built.__new__ is object.__new__  # no class has an __init__
            return frozenset() if plain else None  # else the last **kwargs went somewhere else
        parameters = inspect.signature(one.__init__).parameters
        known |= set(parameters)
        if one in FORWARDED:
            return frozenset(known).union(inspect.signature(FORWARDED[one]).parameters)
        swallowed = [p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD]
        if not swallowed:
            return frozenset(known)
        uses, passed = uses_of(one.__init__, swallowed[0])
        if not uses or uses > passed:  # some heads of the zoo swallow what others of them take
            return None
    return None


@lru_cache(None)
def source_of(built: Callable) -> str:
    """The source code of a class or function; empty where there is none to read."""
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(built)))
    except (OSError, TypeError):
        return ""


def uses_of(function: Callable, name: str) -> tuple[float, int]:
    """How often a function uses its `**name`, and hands it to `super().__init__`."""
    source = source_of(function)
    if not source:
        return math.inf, 0
    tree = ast.parse(source)
    uses = sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(tree))
    passed = sum(
        isinstance(call, ast.Call)
        and ast.unparse(call.func) == "super().__init__"
        and any(k.arg is None and ast.unparse(k.value) == name for k in call.keywords)
        for call in ast.walk(tree)
    )
    return uses, passed
