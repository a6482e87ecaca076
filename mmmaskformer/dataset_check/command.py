"""What tools/check_dataset.py prints and writes about a config."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.progress import Progress

from ..utils.files import replacing
from ..utils.text import listing
from .agreement import Findings, check_heads
from .histogram import class_histogram
from .inspection import Counts, inspect_in_processes
from .report import class_rows, class_table, summary, write_csv
from .settings import heads_of, labels_of
from .splits import (
    Part,
    build_parts,
    check_part,
    chosen_splits,
    class_names,
    judge,
    metainfos_of,
)

MOST_LINES = 10
"""Lines about one kind of problem of a split; of the others there is a number."""


def check_dataset(
    cfg: Config, splits: list[str] | None, workers: int, out: Path | None = None
) -> int:
    """Print everything; the number of errors.

    Args:
        splits: the splits to read; None: train, val, and test if its files are others than val's.
        out: folder for classes.csv and classes.png.

    Raises:
        OSError, ValueError: the config can not be checked.
    """
    MMLogger.get_instance("check_dataset", log_level="WARNING")
    register_all_modules(init_default_scope=False)
    DefaultScope.get_instance("check_dataset", scope_name=cfg.get("default_scope", "mmseg"))
    found = Findings()
    parts = {split: build_parts(cfg, split, found) for split in chosen_splits(cfg, splits)}
    parts = {split: some for split, some in parts.items() if some}
    errors = check_parts(cfg, parts, workers, out, found) if parts else 0
    return errors + print_findings(found)


def check_parts(
    cfg: Config, parts: dict[str, list[Part]], workers: int, out: Path | None, found: Findings
) -> int:
    """Read, print and judge the datasets of all splits; the number of faulty files."""
    heads, metainfos = heads_of(cfg.model), metainfos_of(parts)
    labels = labels_of(heads, metainfos)
    found.add(check_heads(heads, labels, metainfos))
    tables, sizes, names, errors = {}, {}, [], 0
    for split, some in parts.items():
        for part in some:
            found.add(check_part(cfg, split, part, labels))
        readable = [part for part in some if part.reading]
        if not readable:
            continue
        names = class_names(readable, labels)
        total = read_files(split, readable, workers)
        rows = print_counts(split, readable, total, names)
        if rows:
            tables[split], sizes[split] = rows, total.annotated
        errors += sum(map(len, total.problems.values()))
        found.add(judge(split, readable, total, labels, names))
    reduced = listing({metainfo["reduce_zero_label"] for metainfo in metainfos.values()})
    print(
        f"{labels.place}: num_classes {labels.num_classes}, ignore_index {labels.ignore_index}; "
        f"reduce_zero_label {reduced}"
    )
    if out and tables:
        write_results(out, tables, sizes, names, Path(cfg.filename).name)
    return errors


def read_files(split: str, parts: Sequence[Part], workers: int) -> Counts:
    """Counts of a split, and of each of its datasets."""
    total = Counts()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(split, total=sum(len(part.samples) for part in parts))
        for part in parts:
            for counts in inspect_in_processes(part.samples, part.reading, workers):
                part.counts += counts
                progress.advance(task, counts.files)
            total += part.counts
    return total


def print_counts(
    split: str, parts: Sequence[Part], total: Counts, names: Sequence[str]
) -> list[dict]:
    """Print what a split holds and the problems of its files; the rows of its table."""
    isthing = parts[0].metainfo.get("isthing")
    print(summary(split, total, isthing))
    rows = class_rows(total, names, isthing) if total.annotated else []
    if rows:
        Console(width=None if sys.stdout.isatty() else 120).print(class_table(rows))
    for kind, lines in total.problems.items():
        for line in lines[:MOST_LINES]:
            print(f"error: {split}: {line}")
        if len(lines) > MOST_LINES:
            print(f"error: {split}: {kind}: {len(lines) - MOST_LINES} more")
    return rows


def write_results(
    folder: Path,
    tables: dict[str, list[dict]],
    sizes: dict[str, int],
    names: Sequence[str],
    title: str,
) -> None:
    """classes.csv and classes.png, each under its final name only when it is complete."""
    with replacing(folder / "classes.csv") as work:
        write_csv(work, tables)
    panels: dict[str, dict[str, list[float]]] = {
        "% of labelled pixels": {},
        "% of images": {},
        "segments": {},
    }
    for split, rows in tables.items():
        rows = rows[: len(names)]
        panels["% of labelled pixels"][split] = [100 * row["share"] for row in rows]
        panels["% of images"][split] = [100 * row["images"] / sizes[split] for row in rows]
        if "segments" in rows[0]:
            panels["segments"][split] = [row["segments"] for row in rows]
    panels = {quantity: splits for quantity, splits in panels.items() if splits}
    with replacing(folder / "classes.png") as work:
        class_histogram(work, names, panels, title)
    print(f"wrote {folder / 'classes.csv'}\nwrote {folder / 'classes.png'}")


def print_findings(found: Findings) -> int:
    """Print the lines; the number of errors."""
    for line in found.warnings:
        print(f"warning: {line}")
    for line in found.errors:
        print(f"error: {line}")
    return len(found.errors)
