"""Time and memory over each factor, with the fitted growth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from .report import METRICS
from .scaling import FACTORS, MEASURED, Growth, x_of


def draw(rows: Sequence[Mapping], found: Sequence[Mapping], title: str, path: str | Path) -> None:
    """Write the picture: a column per factor, time above memory.

    Args:
        rows: of `scaling.measure`.
        found: of `scaling.growths`.
    """
    factors = list(dict.fromkeys(row["factor"] for row in rows))
    figure = Figure(figsize=(3.6 * len(factors), 5.6), layout="constrained", dpi=120)
    figure.suptitle("\n".join(textwrap.wrap(title, 40 * len(factors))), fontsize=9)
    axes = figure.subplots(len(MEASURED), len(factors), squeeze=False)
    for column, factor in enumerate(factors):
        for axis, metric in zip(axes[:, column], MEASURED, strict=True):
            mine = [row for row in rows if row["factor"] == factor and row[metric] is not None]
            fits = {g["config"]: g for g in found if (g["factor"], g["metric"]) == (factor, metric)}
            draw_one(axis, mine, fits, metric)
            set_scales(axis, factor, [row["value"] for row in mine])
            axis.set_ylabel(METRICS[metric].label, fontsize=8)
        axes[-1, column].set_xlabel("image height = width" if factor == "size" else factor)
    figure.savefig(path, format="png")


def draw_one(axis, rows: Sequence[Mapping], fits: Mapping[str, Mapping], metric: str) -> None:
    """Points of every config, the fit as a line through them, its text as the legend."""
    colours = matplotlib.colormaps["tab10"]
    for i, config in enumerate(dict.fromkeys(row["config"] for row in rows)):
        mine = [row for row in rows if row["config"] == config]
        values = [row["value"] for row in mine]
        growth = fits.get(config)
        label = f"{config}: {growth['text']}" if growth else config
        axis.plot(values, [row[metric] for row in mine], "o", color=colours(i), label=label)
        if growth:
            fit = Growth(growth["a"], growth["b"], growth["power"])
            dense = np.geomspace(min(values), max(values), 50)
            heights = [fit.at(x_of(mine[0]["factor"], value)) for value in dense]
            axis.plot(dense, heights, "-", color=colours(i), alpha=0.6)
    if rows:
        axis.legend(fontsize=6, loc="upper left")


def set_scales(axis, factor: str, values: Sequence[int]) -> None:
    """Logarithmic where the growth is a power, else from zero on."""
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=7)
    if FACTORS[factor].per is None and values:
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(sorted(set(values)), [str(value) for value in sorted(set(values))])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.margins(y=0.3)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        low, high = axis.get_ylim()
        axis.set_ylim(min(0, low), 1.3 * high)
