"""Read every image and annotation of a config, count the classes, and say what would stop training.

    python tools/check_dataset.py configs/maskformer_r50_ade20k.py --workers 8 --out counts

Semantic datasets of mmseg and panoptic ones of this package. Exit code 1 where training would fail
or the config disagrees with itself or with the files. `--out` gets classes.csv and classes.png.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from mmmaskformer.dataset_check import agreement
from mmmaskformer.dataset_check.agreement import Findings
from mmmaskformer.dataset_check.histogram import class_histogram
from mmmaskformer.dataset_check.inspection import Counts, inspect_in_processes
from mmmaskformer.dataset_check.report import class_rows, class_table, summary, write_csv
from mmmaskformer.dataset_check.splits import (
    SPLITS,
    Part,
    build_parts,
    check_part,
    chosen_splits,
    class_names,
    judge,
    metainfos_of,
)
from mmmaskformer.engine.runner import add_common_arguments, load_config
from mmmaskformer.utils.files import replacing
from mmmaskformer.utils.text import listing

MOST_LINES = 10


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--split", nargs="+", choices=SPLITS, help="default: train, val, and test if it is another"
    )
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, help="folder for classes.csv and classes.png")
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f"--workers must be at least 1, got {args.workers}")
    return args


def read_files(split: str, parts: list[Part], workers: int) -> Counts:
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


def report(split: str, parts: list[Part], total: Counts, names: list) -> list[dict]:
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
    folder: Path, tables: dict[str, list[dict]], sizes: dict[str, int], names: list, title: str
) -> None:
    """classes.csv and classes.png, each under its final name only when it is complete."""
    with replacing(folder / "classes.csv") as work:
        write_csv(work, tables)
    panels = {"% of labelled pixels": {}, "% of images": {}, "segments": {}}
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


def check(cfg: Config, args: argparse.Namespace) -> int:
    """Print everything; the number of errors."""
    found = Findings()
    parts = {split: build_parts(cfg, split, found) for split in chosen_splits(cfg, args.split)}
    parts = {split: some for split, some in parts.items() if some}
    heads, metainfos = agreement.heads_of(cfg.model), metainfos_of(parts)
    if not metainfos:
        return show(found)
    labels = agreement.labels_of(heads, metainfos)
    found.add(agreement.check_heads(heads, labels, metainfos))
    tables, sizes, names, errors = {}, {}, [], 0
    for split, some in parts.items():
        for part in some:
            found.add(check_part(cfg, split, part, labels))
        some = [part for part in some if part.reading]
        if some:
            names = class_names(some, labels)
            total = read_files(split, some, args.workers)
            rows = report(split, some, total, names)
            if rows:
                tables[split], sizes[split] = rows, total.annotated
            errors += sum(map(len, total.problems.values()))
            found.add(judge(split, some, total, labels, names))
    reduced = listing({metainfo["reduce_zero_label"] for metainfo in metainfos.values()})
    print(
        f"{labels.place}: num_classes {labels.num_classes}, ignore_index {labels.ignore_index}; "
        f"reduce_zero_label {reduced}"
    )
    if args.out and tables:
        write_results(args.out, tables, sizes, names, Path(args.config).name)
    return errors + show(found)


def show(found: Findings) -> int:
    """Print the lines; the number of errors."""
    for line in found.warnings:
        print(f"warning: {line}")
    for line in found.errors:
        print(f"error: {line}")
    return len(found.errors)


def main() -> None:
    args = parse_args()
    try:
        cfg = load_config(args)
        from mmengine.logging import MMLogger
        from mmengine.registry import DefaultScope
        from mmseg.utils import register_all_modules

        MMLogger.get_instance("check_dataset", log_level="WARNING")
        register_all_modules(init_default_scope=False)
        DefaultScope.get_instance("check_dataset", scope_name=cfg.get("default_scope", "mmseg"))
        errors = check(cfg, args)
    except BrokenProcessPool:
        sys.exit("error: a worker was killed, perhaps for want of memory; try --workers 1")
    except (OSError, ValueError) as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except KeyboardInterrupt:
        sys.exit(130)
    if errors:
        sys.exit(f"error: {args.config}: {errors} problems would stop or spoil training")
    print("no problems found")


if __name__ == "__main__":
    main()
