"""The imports of the whole repository against the table of arrows in docs/architecture.md."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.conftest import ROOT
from tests.import_graph import (
    CALLED,
    COMPUTED,
    NAMED,
    NOW,
    find_imports,
    find_modules,
    loaded_with,
    reachable,
)

PACKAGE = "mmmaskformer"
OUTER = ("tools", "benchmarks", "tests")
OPENMMLAB = {"mmcv", "mmdet", "mmengine", "mmseg"}
KINDS = (NOW, CALLED, NAMED)
EVERY_ROOM, ANYTHING = "every room", "anything"


@dataclass(frozen=True)
class Row:
    """What a room may import: kind of import -> rooms, and the same for packages from outside."""

    rooms: dict[str, set[str]]
    packages: dict[str, set[str]]


def read_arrows(text):
    """The rows of the table in the section "Arrows", by room."""
    section = text.split("## Arrows\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == 4 and row[3] for row in cells), "every row has four cells and a reason"
    return {row[0].strip("`"): Row(read_cell(row[1]), read_cell(row[2])) for row in cells}


def read_cell(cell):
    """Kind of import -> names; what may be imported at once may be imported later, too."""
    found = {kind: set() for kind in KINDS}
    for group in cell.split(";"):
        kind, colon, names = group.partition(":")
        kind, names = (kind.strip(), names) if colon else (NOW, group)
        names = {name.strip().strip("`") for name in names.split(",") if name.strip()}
        for later in KINDS[KINDS.index(kind) :]:
            found[later] |= names
    return found


def room_of(module):
    """The room of a module: the folder or file in the package, or the folder beside it."""
    first, *rest = module.split(".")
    return first if first != PACKAGE else rest[0] if rest else "__init__"


def forbidden(imports, arrows):
    """Imports that the table does not have, as text."""
    inner = {room for room in arrows if room not in OUTER}
    lines = []
    for one in imports:
        row, top = arrows[room_of(one.source)], one.target.split(".")[0]
        if top in (PACKAGE, *OUTER):
            room, allowed = room_of(one.target), row.rooms[one.kind]
            allowed = allowed | inner if EVERY_ROOM in allowed else allowed
            fine = room == room_of(one.source) or room in allowed
        elif top in sys.stdlib_module_names:
            fine = True
        else:
            fine = {top, ANYTHING} & row.packages[one.kind]
        if not fine:
            lines.append(str(one))
    return lines


@pytest.fixture(scope="module")
def arrows():
    return read_arrows((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def imports():
    return find_imports(find_modules(ROOT, PACKAGE, *OUTER))


def test_the_table_has_every_room_and_no_other(arrows):
    modules = find_modules(ROOT, PACKAGE)
    assert len(modules) > 60
    assert set(arrows) == {room_of(module) for module in modules} | set(OUTER)


def test_every_import_is_an_arrow_of_the_table(imports, arrows):
    assert len(imports) > 500
    assert forbidden(imports, arrows) == []
    computed = [one for one in imports if one.target == COMPUTED]
    assert {room_of(one.source) for one in computed} <= set(OUTER)


def test_no_arrow_of_the_table_leads_back(arrows):
    """Registries name the rooms that register themselves there; all other arrows go one way."""
    later = {room: row.rooms[CALLED] for room, row in arrows.items()}
    assert [room for room in later if room in reachable(room, later)] == []


def test_the_table_keeps_the_rules_of_the_house(arrows):
    inner = {room: row for room, row in arrows.items() if room not in OUTER}
    for room, row in inner.items():
        assert not row.rooms[NAMED] & {*OUTER, EVERY_ROOM}, room
        assert ANYTHING not in row.packages[NAMED], room
    assert arrows["core"].rooms[NAMED] == set()
    for room in ("core", "utils"):
        assert not arrows[room].packages[NAMED] & OPENMMLAB
    assert not arrows["checkpoints"].packages[NOW] & OPENMMLAB
    assert "det" not in arrows["seg"].rooms[NAMED]
    assert "seg" not in arrows["det"].rooms[NAMED]
    assert "evaluation" not in arrows["datasets"].rooms[NAMED]
    assert "mmdet" not in arrows["seg"].packages[NAMED]
    assert {room for room, row in inner.items() if "mmdet" in row.packages[NAMED]} == {
        "det",
        "visualization",
    }


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("mmmaskformer", set()),
        ("mmmaskformer.registry", {"mmengine"}),
        ("mmmaskformer.core", {"numpy", "scipy", "torch"}),
        ("mmmaskformer.checkpoints.conversion", {"numpy", "torch"}),
        ("mmmaskformer.evaluation", {"numpy", "PIL"}),
        ("mmmaskformer.visualization", {"PIL", "cv2", "matplotlib", "numpy", "scipy"}),
        ("mmmaskformer.serve.server", {"PIL", "fastapi", "pydantic", "starlette", "uvicorn"}),
    ],
)
def test_what_is_loaded_at_once_needs_few_packages(imports, start, wanted):
    modules = loaded_with(start, imports)
    assert len(modules & {one.source for one in imports}) > 0
    tops = {name.split(".")[0] for name in modules}
    assert tops - sys.stdlib_module_names - {PACKAGE} <= wanted


def test_weights_and_numbers_need_no_openmmlab():
    """What the arrows promise, in a process that can import none of it."""
    code = f"""
import sys
for name in {sorted(OPENMMLAB)}:
    sys.modules[name] = None  # makes their import fail
from mmmaskformer.checkpoints import conversion
from mmmaskformer.evaluation import PanopticQuality
print(conversion.convert_checked.__name__, PanopticQuality.__name__)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert result.stdout == "convert_checked PanopticQuality\n", result.stderr


def test_pyplot_is_never_imported(imports):
    """It chooses a backend for the whole process; `matplotlib.figure.Figure` does not."""
    found = [str(one) for one in imports if one.target.startswith("matplotlib.pyplot")]
    assert [line for line in found if not line.startswith("tests.")] == []
    uses = [p for p in find_modules(ROOT, PACKAGE, "tools", "benchmarks").values()
            if "matplotlib.use(" in p.read_text(encoding="utf-8")]  # fmt: skip
    assert uses == []


WAYS = {
    "relative": "from ..evaluation import report",
    "relative module": "from .. import evaluation",
    "absolute": "import mmmaskformer.evaluation.report",
    "from absolute": "from mmmaskformer.evaluation.report import table",
    "from the package": "from mmmaskformer import evaluation",
    "in a function": "def f():\n    from ..evaluation import report",
    "in a method": "class A:\n    async def f(self):\n        from ..evaluation import report",
    "for types": "if TYPE_CHECKING:\n    from ..evaluation.report import Table",
    "in try": "try:\n    from ..evaluation import report\nexcept ImportError:\n    pass",
    "import_module": "importlib.import_module('mmmaskformer.evaluation.report')",
    "locations": "R = Registry('r', locations=['mmmaskformer.evaluation.report'])",
    "tools": "from tools import train",
    "outside": "import mmdet.models",
    "outside in a function": "def f():\n    from mmdet import models",
    "outside by name": "f = import_module('mmdet.models')",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_import_of_any_kind_is_found(way, tmp_path, arrows):
    files = {
        "mmmaskformer/__init__.py": "",
        "mmmaskformer/evaluation/__init__.py": "",
        "mmmaskformer/evaluation/report.py": "from ..utils import text",
        "mmmaskformer/utils/text.py": "import numpy",
        "mmmaskformer/datasets/own.py": f"import os\nfrom ..core import model\n{WAYS[way]}\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    lines = forbidden(find_imports(find_modules(tmp_path, PACKAGE)), arrows)
    wanted = next(name for name in ("mmdet", "tools", "evaluation") if name in WAYS[way])
    assert lines
    for line in lines:
        assert line.startswith("mmmaskformer.datasets.own, line ")
        assert wanted in line.split(": ")[1]


def test_later_imports_are_not_allowed_at_once(arrows):
    later = {"backbones", "checkpoints", "datasets", "zoo"}
    assert arrows["stack"].rooms == {NOW: set(), CALLED: later, NAMED: later}
    assert arrows["registry"].rooms[NOW] == arrows["registry"].rooms[CALLED] == set()
    assert "datasets" in arrows["registry"].rooms[NAMED]
