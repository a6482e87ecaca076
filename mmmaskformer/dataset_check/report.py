"""Counts of a dataset as lines, a table and a csv."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from ..utils.text import listing
from .inspection import Counts


def ranges(values: Iterable[int]) -> str:
    """`0..10, 255` of sorted integers."""
    groups: list[list[int]] = []
    for value in values:
        if groups and value == groups[-1][1] + 1:
            groups[-1][1] = value
        else:
            groups.append([value, value])
    return listing(str(a) if a == b else f"{a}..{b}" for a, b in groups)


def summary(split: str, counts: Counts, isthing: Sequence[bool] | None = None) -> str:
    """One line about a split: images, values, ignored share, segments."""
    facts = [f"{split}: {counts.files} images, {counts.annotated} annotations read"]
    if counts.values:
        facts.append(f"values in the files {ranges(sorted(counts.values))}")
    if counts.annotated:
        facts.append(f"{counts.ignored / max(counts.total, 1):.1%} of the pixels ignored")
    if counts.segments_of_image:
        numbers = sorted(counts.segments_of_image.elements())
        things = sum(number for label, number in counts.segments.items() if isthing[label])
        facts += [
            f"segments per image min {numbers[0]}, median {statistics.median(numbers):g}, "
            f"max {numbers[-1]}",
            f"{things} thing and {sum(counts.segments.values()) - things} stuff segments, "
            f"{counts.crowds} crowds",
        ]
    return "; ".join(facts)


def class_rows(
    counts: Counts, names: Sequence[str], isthing: Sequence[bool] | None = None
) -> list[dict]:
    """A row per class, then one per label that is no class; shares are of the labelled pixels."""
    labelled = max(sum(counts.pixels.values()), 1)
    rows = []
    for label in sorted({*range(len(names)), *counts.pixels}):
        known = label < len(names)
        row = {"index": label, "class": names[label] if known else "(no class)"}
        if isthing:
            row["kind"] = ("thing" if isthing[label] else "stuff") if label < len(isthing) else ""
        row.update(
            pixels=counts.pixels[label],
            share=counts.pixels[label] / labelled,
            images=counts.images[label],
        )
        if isthing:
            row["segments"] = counts.segments[label]
        rows.append(row)
    return rows


def class_table(rows: Sequence[Mapping]) -> Table:
    """The rows as text; classes that never occur say so."""
    table = Table(box=None)
    for key in rows[0]:
        title = "% of labelled" if key == "share" else key
        table.add_column(title, justify="left" if key in ("class", "kind") else "right")
    for row in rows:
        share = f"{100 * row['share']:.3g}" if row["pixels"] else "never"
        cells = {**row, "share": share}
        table.add_row(
            *(escape(str(cell)) for cell in cells.values()),
            style=None if row["pixels"] else "yellow",
        )
    return table


def write_csv(path: str | Path, tables: Mapping[str, Sequence[Mapping]]) -> None:
    """Write the rows of all splits, the split in the first column."""
    rows = [{"split": split, **row} for split, table in tables.items() for row in table]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
