"""Published numbers, of the paper and of mmseg's zoo, beside measured ones."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import load

from mmmaskformer.utils.files import read_json
from mmmaskformer.utils.text import listing

COLUMNS = {"P.A.": "aAcc", "training memory, MB": "train_memory_mb"}
"""The paper's names of metrics that are called otherwise here."""

MULTI_SCALE, SINGLE_SCALE = " (m.s.)", " (s.s.)"
ZOO_COLUMNS = {
    "mIoU": ("mIoU", False),
    "mIoU(ms+flip)": ("mIoU", True),
    "Memory (GB)": ("train_memory_mb", False),
}
"""mmseg's published numbers: the metric here, and whether it is of test-time augmentation."""


@dataclass(frozen=True)
class Measured:
    """Metrics of one config.

    Attributes:
        multi_scale: whether they are of test-time augmentation.
    """

    config: str
    values: dict[str, float]
    multi_scale: bool = False


def read_paper(path: Path) -> list[dict]:
    """The paper's tables: `table`, `caption`, `dataset`, `columns`, and `rows` with `method`,
    `backbone`, `config` (None: there is none) and `values`: a number, [mean, std] or None per
    column."""
    return read_json(path)


def read_measured(argument: str, known: Sequence[str]) -> list[Measured]:
    """Results in a benchmark.json, or in the json that testing writes into a work-dir.

    Args:
        argument: path, or CONFIG=path where the work-dir does not hold the config.
        known: names of configs.

    Raises:
        ValueError: an unknown config, a metric that is no finite number, or not such a file.
    """
    name, _, path = argument.rpartition("=")
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object with metrics, got a {type(content).__name__}")
    if "results" in content:
        found = from_benchmark(path, content)
    else:
        found = [from_test(path, content, name or config_beside(path))]
    for result in found:
        if result.config not in known:
            close = difflib.get_close_matches(result.config, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{path}: there is no config {result.config}{hint}")
        for key, value in result.values.items():
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(
                    f"{path}: {key} of {result.config} must be a finite number, got {value!r}"
                )
    return found


def from_benchmark(path: Path, content: dict) -> list[Measured]:
    """Every config of a benchmark.json."""
    results = content["results"]
    if not isinstance(results, dict) or not all(isinstance(v, dict) for v in results.values()):
        raise ValueError(f"{path}: results must hold one object of metrics per config")
    return [Measured(name, values) for name, values in results.items()]


def from_test(path: Path, content: dict, config: str) -> Measured:
    """The json of a test; whether it was augmented says the run's own copy of the config."""
    values = {key: value for key, value in content.items() if isinstance(value, (int, float))}
    if not values:
        raise ValueError(f"{path} holds no metrics")
    copy = path.parent / "vis_data/config.py"
    if not copy.is_file():
        return Measured(config, values)
    model = Config.fromfile(copy, import_custom_modules=False).model
    return Measured(config, values, multi_scale="TTA" in model["type"])


def config_beside(path: Path) -> str:
    """Name of the config that mmengine copies into the work-dir, above the run's folder."""
    copies = sorted(path.resolve().parent.parent.glob("*.py"))
    if len(copies) != 1:
        raise ValueError(
            f"{path}: the work-dir must hold the one config it was made with, got "
            f"{listing((copy.name for copy in copies), 3) or 'none'}; say CONFIG={path}"
        )
    return copies[0].stem


def find(row: dict, column: str, results: Sequence[Measured]) -> float | None:
    """The measured value of a cell of the paper; the last one where there are several."""
    multi_scale = column.endswith(MULTI_SCALE)
    metric = column.removesuffix(MULTI_SCALE).removesuffix(SINGLE_SCALE)
    metric = COLUMNS.get(metric, metric)
    found = None
    for result in results:
        same = result.config == row["config"] and result.multi_scale == multi_scale
        if same and metric in result.values:
            found = result.values[metric]
    return found


def cell(published, found: float | None) -> str:
    """`44.5 ±0.5 / 44.1 (-0.4)`: published, measured, difference."""
    mean, std = published if isinstance(published, (list, tuple)) else (published, None)
    text = "-" if mean is None else f"{mean}" + (f" ±{std}" if std is not None else "")
    if found is None:
        return text
    digits = 0 if (mean or found) > 1000 else 2
    difference = "" if mean is None else f" ({found - mean:+.{digits}f})"
    return f"{text} / {found:.{digits}f}{difference}"


def paper_tables(paper: Sequence[dict], results: Sequence[Measured]) -> list[tuple]:
    """(title, header, rows) of the paper's tables; with results, only those that have one."""
    tables = []
    for table in paper:
        rows, hits = [], 0
        for row in table["rows"]:
            found = [find(row, column, results) for column in table["columns"]]
            hits += sum(value is not None for value in found)
            cells = [cell(*pair) for pair in zip(row["values"], found, strict=True)]
            rows.append([row["method"], row["backbone"], *cells, row["config"] or "-"])
        title = f"Table {table['table']}: {table['dataset']}. {table['caption']}"
        if hits or not results:
            tables.append((title, ["method", "backbone", *table["columns"], "config"], rows))
    return tables


def read_zoo() -> dict[str, dict]:
    """{name of a config of mmseg: published metrics}, from the installed package."""
    (folder,) = importlib.util.find_spec("mmseg").submodule_search_locations
    zoo = {}
    for path in sorted(Path(folder).glob(".mim/configs/*/metafile.yaml")):
        for model in load(path).get("Models", []):
            results = model["Results"]
            results = results[0] if isinstance(results, list) else results
            memory = model.get("Metadata", {}).get("Memory (GB)")
            zoo[model["Name"]] = {**results.get("Metrics", {}), "Memory (GB)": memory}
    return zoo


def zoo_name(config: str, configs: Path) -> str:
    """mmseg's own config that a leaf of ours is made from, model, data and schedule."""
    path = configs / f"{config}.py"
    while path.is_file():
        whole = [base for base in bases_of(path) if "_base_/" not in base]
        if not whole:
            break
        if whole[0].startswith("mmseg::"):
            return Path(whole[0]).stem
        path = path.parent / whole[0]
    return config


def bases_of(path: Path) -> list[str]:
    """What a config file's first `_base_ = ` says."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
            value = ast.literal_eval(node.value)
            return [value] if isinstance(value, str) else list(value)
    return []


def zoo_table(zoo: dict, results: Sequence[Measured], configs: Path) -> tuple | None:
    """(title, header, rows) of the results that mmseg publishes, too; None without any."""
    merged: dict[str, dict] = {}
    for result in results:
        if zoo_name(result.config, configs) in zoo:
            for key, value in result.values.items():
                merged.setdefault(result.config, {})[key, result.multi_scale] = value
    rows = []
    for config, values in merged.items():
        name = zoo_name(config, configs)
        cells = []
        for column, key in ZOO_COLUMNS.items():
            scale = 1000 if column == "Memory (GB)" else 1
            found = values.get(key)
            cells.append(cell(zoo[name].get(column), None if found is None else found / scale))
        rows.append([config, name, *cells])
    return ("mmseg's model zoo", ["config", "mmseg's", *ZOO_COLUMNS], rows) if rows else None
