"""What the modules of a package import, read from their source and not by importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NOW, CALLED, NAMED = "import", "when called", "by name"
"""An import of the module itself; inside a function; a string that names a module of the tree, for
instance in `locations` of a registry."""
COMPUTED = "(a computed name)"
"""Target of an `import_module` whose argument is no literal."""


@dataclass(frozen=True)
class Import:
    """`source` imports `target`, both dotted names of modules."""

    source: str
    target: str
    kind: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}, {self.kind}: {self.target}"


def find_modules(root: Path, *folders: str) -> dict[str, Path]:
    """Dotted name -> file of everything in some folders of `root`; hidden folders are left out."""
    modules = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if not any(part.startswith(".") for part in parts):
                modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def find_imports(modules: dict[str, Path]) -> list[Import]:
    """Every import of every module."""
    return [one for name, path in modules.items() for one in _Reader(name, path, modules).read()]


class _Reader:
    def __init__(self, name: str, path: Path, modules: dict[str, Path]) -> None:
        self.name, self.path, self.modules = name, path, modules
        self.dotted = {module for module in modules if "." in module}

    def read(self) -> Iterator[Import]:
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        yield from self.visit(tree, NOW)

    def visit(self, node: ast.AST, kind: str) -> Iterator[Import]:
        for target, as_kind in self.targets(node, kind):
            yield Import(self.name, target, as_kind, node.lineno)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            kind = CALLED
        for child in ast.iter_child_nodes(node):
            yield from self.visit(child, kind)

    def targets(self, node: ast.AST, kind: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, kind) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self.absolute(node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield (whole if whole in self.modules else base), kind
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            literal = node.args and isinstance(node.args[0], ast.Constant)
            yield node.args[0].value if literal else COMPUTED, kind
        elif isinstance(node, ast.Constant) and node.value in self.dotted:
            yield node.value, NAMED

    def absolute(self, node: ast.ImportFrom) -> str:
        """The module of `from ... import`, without leading dots."""
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        up = node.level - (self.path.name == "__init__.py")
        package = package[: len(package) - up]
        return ".".join([*package, *filter(None, [node.module])])


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def reachable(start: str, arrows: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that `start` leads to; `start` itself only if it is in a circle."""
    seen, waiting = set(), list(arrows.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += arrows.get(name, ())
    return seen


def loaded_with(start: str, imports: Iterable[Import]) -> set[str]:
    """The modules that the import of `start` loads: its packages and what they all import."""
    arrows: dict[str, set[str]] = {}
    for one in imports:
        if one.kind == NOW:
            arrows.setdefault(one.source, set()).add(one.target)
    for name in {start, *arrows, *(target for targets in arrows.values() for target in targets)}:
        if "." in name:
            arrows.setdefault(name, set()).add(name.rpartition(".")[0])
    return {start, *reachable(start, arrows)}
