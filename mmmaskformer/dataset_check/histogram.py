"""How often the classes of a dataset occur, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

MOST_BARS = 40
WIDE = 40
"""Ratio of numbers from which bars have a logarithmic scale."""
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
NAMED = 6
"""Where classes are too many for bars, so many of the commonest and rarest are named."""


def class_histogram(
    path: str | Path,
    classes: Sequence[str],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    title: str = "",
) -> None:
    """Write a PNG: one panel per quantity, bars for a few classes and sorted lines for many.

    Args:
        classes: names.
        panels: what is counted -> split -> a number per class; 0 means that it never occurs.
    """
    many = len(classes) > MOST_BARS
    size = (10, 3.6 * len(panels)) if many else (4.6 * len(panels) + 1.6, 0.3 * len(classes) + 1.7)
    rows, columns = (len(panels), 1) if many else (1, len(panels))
    figure = Figure(figsize=size)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=not many, sharex=many)
    for axis, (quantity, splits) in zip(axes.flat, panels.items(), strict=True):
        draw = draw_lines if many else draw_bars
        draw(axis, classes, {name: np.asarray(v, float) for name, v in splits.items()}, quantity)
        axis.grid(alpha=0.3, axis="both" if many else "x")
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    if many:
        axes[-1, 0].set_xlabel(f"classes, from common to rare in {next(iter(splits))}")
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.suptitle(title, fontsize=11)
    figure.legend(handles, names, loc="lower center", ncols=len(names), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.35 / size[1], 1, 1))
    figure.savefig(path, dpi=110, format="png")


def draw_bars(
    axis: Axes, classes: Sequence[str], splits: Mapping[str, np.ndarray], quantity: str
) -> None:
    """A group of horizontal bars per class, one bar per split."""
    rows, height = np.arange(len(classes)), 0.8 / len(splits)
    lowest = floor_of(splits)
    for i, (split, numbers) in enumerate(splits.items()):
        places = rows + (i - (len(splits) - 1) / 2) * height
        axis.barh(places, numbers, height, label=split, color=f"C{i}")
        for place in places[numbers == 0]:
            # From the left edge, whatever the scale.
            where = axis.get_yaxis_transform()
            axis.text(0.01, place, "never", transform=where, va="center", fontsize=6, color=f"C{i}")
    highest = max(numbers.max() for numbers in splits.values())
    if highest > WIDE * lowest:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(PLAIN)
        axis.set_xlim(left=lowest)
    axis.set_xlabel(quantity)
    axis.set_yticks(rows, classes, fontsize=8)
    axis.set_ylim(len(classes) - 0.4, -0.6)


def draw_lines(
    axis: Axes, classes: Sequence[str], splits: Mapping[str, np.ndarray], quantity: str
) -> None:
    """The first split's classes from common to rare; those of the others in the same order."""
    first = next(iter(splits.values()))
    order = np.argsort(-first, kind="stable")
    lowest = floor_of(splits)
    for i, (split, numbers) in enumerate(splits.items()):
        numbers = numbers[order]
        absent = int((numbers == 0).sum())
        style = dict(lw=1.8) if i == 0 else dict(ls="", marker=".", ms=4, alpha=0.7)
        ranks = np.flatnonzero(numbers)
        label = f"{split} ({absent} never)" if absent else split
        axis.plot(ranks, numbers[ranks], color=f"C{i}", label=label, zorder=3 - i, **style)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(PLAIN)
    axis.set_ylim(bottom=lowest)
    axis.set_ylabel(quantity)
    common = ", ".join(str(classes[k]) for k in order[:NAMED])
    rare = ", ".join(str(classes[k]) for k in order[first[order] > 0][-NAMED:])
    note = f"commonest: {common}\nrarest that occur: {rare}"
    axis.set_title(note, fontsize=7, loc="left")


def floor_of(splits: Mapping[str, np.ndarray]) -> float:
    """Where a logarithmic axis may begin: below every number that is not 0."""
    positive = [numbers[numbers > 0].min() for numbers in splits.values() if (numbers > 0).any()]
    return min(positive, default=1.0) / 2
