"""Tables on screen and in files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from mmmaskformer.utils.files import replacing


@dataclass(frozen=True)
class Metric:
    """How a metric is printed, which direction is good, and whether it is a ratio already."""

    label: str
    form: str
    higher_is_better: bool = False
    is_ratio: bool = False


METRICS = {
    "mIoU": Metric("mIoU", "{:.2f}", True),
    "aAcc": Metric("aAcc", "{:.2f}", True),
    "PQ": Metric("PQ", "{:.2f}", True),
    "PQ_st": Metric("PQ_st", "{:.2f}", True),
    "parameters_m": Metric("params M", "{:.1f}"),
    "gflops": Metric("GFLOPs", "{:.1f}"),
    "train_step_s": Metric("train s / step", "{:.3f}"),
    "train_memory_mb": Metric("train peak MB", "{:.0f}"),
    "latency_s": Metric("infer s / image", "{:.3f}"),
    "floors": Metric("of the floor", "{:.2f}", is_ratio=True),
    "inference_memory_mb": Metric("infer peak MB", "{:.0f}"),
}
"""All metrics of a benchmark, in the order of its columns."""


def cells(results: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a benchmark's table; what was not measured is "-"."""
    keys = [key for key in METRICS if any(key in values for values in results.values())]
    header = ["config", *(METRICS[key].label for key in keys)]
    rows = [
        [name, *(METRICS[key].form.format(v[key]) if key in v else "-" for key in keys)]
        for name, v in results.items()
    ]
    return header, rows


def wide_console() -> Console:
    """The terminal, or where there is none, lines long enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def rich_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    first, *others = header
    columns = (Column(name, justify="right", min_width=7) for name in others)
    table = Table(Column(first, overflow="fold"), *columns, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [title, "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def write_files(
    folder: str | Path, name: str, writers: Mapping[str, Callable[[Path], object]]
) -> list[Path]:
    """Write `{name}.{suffix}` with the writer of each suffix, complete or not at all."""
    paths = [Path(folder) / f"{name}.{suffix}" for suffix in writers]
    for path, write in zip(paths, writers.values(), strict=True):
        with replacing(path) as work:
            write(work)
    return paths


def json_writer(run: dict) -> Callable[[Path], object]:
    return text_writer(json.dumps(run, indent=1) + "\n")


def text_writer(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def write_tables(folder: str | Path, name: str, run: dict, tables: Sequence[tuple]) -> list[Path]:
    """Write `{name}.json` of a run and `{name}.md` of its tables.

    Args:
        tables: (title, header, rows) of each.
    """
    text = "\n".join(markdown(*table) for table in tables)
    return write_files(folder, name, {"json": json_writer(run), "md": text_writer(text)})


def csv_text(results: dict) -> str:
    """All digits, one line per config."""
    keys = [key for key in METRICS if any(key in values for values in results.values())]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["config", *keys], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"config": name, **values} for name, values in results.items())
    return text.getvalue()


def write_report(folder: str | Path, run: dict) -> list[Path]:
    """Write `benchmark.{json,csv,md,png}` of a run with `title`, `results` and more."""
    from .plot import draw

    writers = {
        "json": json_writer(run),
        "csv": text_writer(csv_text(run["results"])),
        "md": text_writer(markdown(run["title"], *cells(run["results"]))),
        "png": lambda path: draw(run["results"], run["title"], path),
    }
    return write_files(folder, "benchmark", writers)
