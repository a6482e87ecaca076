"""README, CONTRIBUTING and docs: what they name exists, what they quote is so, the pages build."""

import ast
import importlib.util
import itertools
import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT

TOP = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "configs/README.md"]
PAGES = [ROOT / name for name in TOP] + sorted((ROOT / "docs").rglob("*.md"))
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=IDS)
SOURCES = sorted(
    p for room in ("mmmaskformer", "benchmarks", "tools") for p in ROOT.glob(f"{room}/**/*.py")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OF_OTHERS = {
    "No module named 'mmcv._ext'",
    "operator torchvision::nms does not exist",
    "… got an unexpected keyword argument …",
}
"""Messages of python and torch in the page on troubleshooting."""


def prose(page):
    """A page's text without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page):
    """The pieces of code within the text."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def rows(page, first):
    """The cells of each row of the tables whose header begins with the column `first`."""
    found, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0].strip() == first:
            inside = True
        elif inside and not line.startswith("|---"):
            found.append(cells)
    return found


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "mkdocstrings")),
    reason="mkdocs is not installed: pip install -e '.[docs]'",
)
def test_pages_build_and_fetch_nothing(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    built = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert built.returncode == 0, built.stderr[-3000:]
    text = (tmp_path / "api/core/index.html").read_text(encoding="utf-8")
    assert text.count('id="mmmaskformer.core.criterion.MaskFormerCriterion.forward"') == 1
    assert "mmmaskformer.core.MaskFormerCriterion" not in text  # said once, not per import
    for page in tmp_path.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r'(?:<script[^>]*src|<link[^>]*href|<img[^>]*src)="https?:', html), (
            page
        )


def anchors(page):
    """What a link may have behind `#`: the headings, in small letters with hyphens."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}


@every_page
def test_relative_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if page.is_relative_to(ROOT / "docs"):
            assert target.is_relative_to(ROOT / "docs"), f"{link} leaves the built pages"
        if anchor and not anchor.startswith("mmmaskformer."):  # made by mkdocs, which checks them
            assert anchor in anchors(target), link


def expanded(pattern):
    """`a/{b,c}` as `a/b` and `a/c`."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


@every_page
def test_paths_of_the_repository_exist(page):
    for span in spans(page):
        word = re.split(r"[\s:]", span.removeprefix("python ").removeprefix("bash "))[0]
        rooms = r"(mmmaskformer|tests|configs|benchmarks|tools|docs)/"
        if re.match(rooms, word) and not re.search("NAME|BACKBONE", word):
            for path in expanded(word):
                assert list(ROOT.glob(path.rstrip("/"))), word


def commands(page):
    """Every line of a shell block and every piece of code in the text, without comments."""
    text = page.read_text(encoding="utf-8")
    blocks = [code for language, code in FENCE.findall(text) if language == "bash"]
    lines = [line for code in blocks for line in code.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s#.*", "", line) for line in lines + spans(page)]


PROGRAM = re.compile(
    r"(?<![\w/])((?:tools|benchmarks)/\w+\.(?:py|sh))|-m ((?:benchmarks|tests)[\w.]*)"
)


def programs(line):
    """The file that a command starts, if it is one of the repository (NAME: one to be written)."""
    match = PROGRAM.search(line)
    if match is None or "NAME" in line:
        return None
    if match[1]:
        return ROOT / match[1]
    module = ROOT / match[2].replace(".", "/")
    return module / "__main__.py" if module.is_dir() else module.with_suffix(".py")


def argument_sources(path, depth=2):
    """Text of a program and of what it takes its arguments from."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sh" and depth > 1:
        started = {path.parent / name for name in re.findall(r"(\w+\.(?:py|sh))\b", text)}
        found = [argument_sources(other, 1) for other in started - {path} if other.is_file()]
        return "\n".join([text, *found])
    names = re.findall(r"^from ((?:benchmarks|mmmaskformer)[\w.]*) import (.*)", text, re.MULTILINE)
    for module, imported in names if depth else ():
        for name in ("", *re.findall(r"\w+", imported)):
            other = ROOT / (".".join((module, name)).strip(".").replace(".", "/") + ".py")
            if other.is_file():
                text += argument_sources(other, depth - 1)
    return text


@every_page
def test_commands_and_their_options_exist(page):
    for line in commands(page):
        path = programs(line)
        if path is None:
            continue
        assert path.is_file(), line
        for flag in re.findall(r"(?<!\S)--[a-z][\w-]*", line):
            assert flag in re.findall(r"--[a-z][\w-]*", argument_sources(path)), f"{flag}: {line}"


@every_page
def test_options_in_the_text_exist(page):
    everything = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    for span in spans(page):
        if re.fullmatch(r"--[a-z][\w-]*( [\w.]+)?", span):
            assert f'"{span.split()[0]}"' in everything, span


@every_page
def test_python_in_the_pages_is_python(page):
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            ast.parse(code)


def test_settings_of_the_head_are_its_arguments():
    page = ROOT / "docs/configs.md"
    source = (ROOT / "mmmaskformer/heads/maskformer_head.py").read_text("utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    (head,) = (node for node in classes if node.name == "MaskFormerHead")
    (init,) = (f for f in head.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    known = {argument.arg for argument in init.args.args + init.args.kwonlyargs}
    cells = [row[0] for row in rows(page, "setting of `decode_head`")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    named |= set(re.findall(r"setting `(\w+)` of `decode_head`", prose(page)))
    assert len(named) > 8
    assert named <= known


def strings(tree):
    """The strings of a program, with … in place of values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_messages_of_troubleshooting_are_those_of_the_code():
    said = {text for path in SOURCES for text in strings(ast.parse(path.read_text("utf-8")))}
    messages = [cells[0].strip("`") for cells in rows(ROOT / "docs/troubleshooting.md", "message")]
    assert len(messages) > 40
    assert set(messages) >= OF_OTHERS
    for message in set(messages) - OF_OTHERS:
        pattern = ".*".join(re.escape(piece) for piece in message.split("…"))
        assert any(re.search(pattern, text) for text in said), message


def test_released_results_are_those_of_the_metafile():
    models = yaml.safe_load((ROOT / "configs/metafile.yaml").read_text("utf-8"))["Models"]
    expected = []
    for model in models:
        result, metrics = model["Results"], model["Results"]["Metrics"]
        values = [str(metrics.get(key, "-")) for key in ("mIoU", "mIoU(ms+flip)", "PQ")]
        expected.append([f"`{model['Name']}`", result["Dataset"], *values])
    table = [cells[:5] for cells in rows(ROOT / "docs/results.md", "config") if len(cells) == 6]
    assert table == expected
    in_readme = {
        cells[0] + cells[1]: cells[2] for cells in rows(ROOT / "README.md", "data, metric")
    }
    assert in_readme["ADE20K val, mIoUMaskFormer R50"] == "44.5"
    assert in_readme["COCO panoptic val, PQMaskFormer R50 + 6 Enc"] == "46.5"


def cell(value):
    if isinstance(value, list):
        return f"{value[0]} ±{value[1]}"
    return "-" if value is None else str(value)


def test_results_are_those_of_the_papers_tables():
    tables = json.loads((ROOT / "configs/paper_results.json").read_text("utf-8"))
    expected = [
        [row["method"], row["backbone"], *map(cell, row["values"]), f"`{row['config']}`"]
        for table in tables
        for row in table["rows"]
    ]
    found = [cells[:-1] for cells in rows(ROOT / "docs/results.md", "method")]
    assert found == [[c.replace("`None`", "-") for c in cells] for cells in expected]


def test_configs_of_the_results_exist():
    names = {
        name for name in spans(ROOT / "docs/results.md") if re.fullmatch(r"[\w-]+_\w+_[\w-]+", name)
    }
    assert len(names) > 40
    missing = [name for name in names if not (ROOT / f"configs/{name}.py").is_file()]
    assert missing in ([], ["paper_results"])


def test_files_for_the_public_host_are_well_formed():
    for path in [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]:
        assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict), path
    for path in set(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")) - {
        ROOT / ".github/ISSUE_TEMPLATE/config.yml"
    }:
        form = yaml.safe_load(path.read_text("utf-8"))
        assert form.keys() >= {"name", "description", "body"}, path
        ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert len(set(ids)) == len(ids), path
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"title", "message", "authors"}
    version = (ROOT / "mmmaskformer/version.py").read_text("utf-8")
    assert f'"{citation["version"]}"' in version
    assert citation["preferred-citation"]["title"].startswith("Per-Pixel Classification is Not")
