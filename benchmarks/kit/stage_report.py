"""Where the time of a step goes, as tables and as a picture of stacked bars."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import stage_wiring as wiring
from .report import json_writer, markdown, text_writer, write_files
from .stages import REST

COLOURS = {
    wiring.PREPROCESSING: "#8c6d31",
    wiring.BACKBONE: "#4e79a7",
    wiring.PIXEL_DECODER: "#76b7b2",
    wiring.DECODER: "#b07aa1",
    wiring.MASK_LOGITS: "#d4a6c8",
    wiring.TARGETS: "#59a14f",
    wiring.COST: "#8cd17d",
    wiring.COPY: "#2f5d29",
    wiring.ASSIGNMENT: "#b6992d",
    wiring.MASK_LOSSES: "#f28e2b",
    wiring.CLASS_LOSS: "#f1ce63",
    wiring.BACK_LOSSES: "#f28e2b",
    wiring.BACK_DECODER: "#b07aa1",
    wiring.BACK_PIXEL_DECODER: "#76b7b2",
    wiring.BACK_BACKBONE: "#4e79a7",
    wiring.CLIPPING: "#bab0ac",
    wiring.OPTIMIZER: "#79706e",
    wiring.FUSION: "#e15759",
    REST: "#ffffff",
}
"""Backward has its part's colour, and hatches."""
LOSSES = "matching and losses together"
"""The row of `LOSS_STAGES`."""
NARROW = 0.045
"""Share of the longest bar below which a stage's time is not written into it."""


def heading(part: str, run: dict) -> str:
    return f"{part.capitalize()}, ms (share of the step). {run['titles'][part]}"


def cells(part: str, results: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a part's table: one column per implementation, then the first's share
    of every other's time."""
    first, *others = results
    lines = [(n, [_stage(r, n) for r in results.values()]) for n in (*wiring.STAGES[part], REST)]
    if part == "training":
        lines.append((LOSSES, [loss_ms(result) for result in results.values()]))
    lines.append(("whole step", [result["whole"] for result in results.values()]))
    lines.append(("whole step, no clocks within", [r["plain"] for r in results.values()]))
    rows = []
    for name, times in lines:
        shares = [
            f"{100 * t / r['whole']:.1f} %" for t, r in zip(times, results.values(), strict=True)
        ]
        whole = name.startswith("whole")
        texts = [
            f"{t:.2f}" if whole else f"{t:.2f} ({s})" for t, s in zip(times, shares, strict=True)
        ]
        ratios = [f"{times[0] / t:.2f}" if min(times[0], t) > 0 else "-" for t in times[1:]]
        rows.append([name, *texts, *ratios])
    return ["stage", *results, *(f"{first} / {other}" for other in others)], rows


def loss_ms(result: dict) -> float:
    """Time of `LOSS_STAGES` together."""
    return sum(result["stages"][name] for name in wiring.LOSS_STAGES)


def _stage(result: dict, name: str) -> float:
    return result[REST] if name == REST else result["stages"][name]


def style(name: str) -> dict:
    """How bars and legend show a stage."""
    hatch = "////" if name.startswith("backward") else None
    edge = "#777777" if name == REST else "white"
    return {"facecolor": COLOURS[name], "edgecolor": edge, "hatch": hatch, "linewidth": 0.6}


def draw(run: dict, path: str | Path) -> None:
    """Write the picture: per part one bar per implementation, of its stages in their order."""
    results = run["results"]
    bars = [len(values) for values in results.values()]
    heights = [
        max(0.62 * n + 1.3, 0.235 * len(wiring.STAGES[p]) + 1.2)
        for n, p in zip(bars, results, strict=True)
    ]
    figure = Figure(figsize=(12.5, sum(heights)), layout="constrained", dpi=120)
    axes = figure.subplots(len(results), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (part, values) in zip(axes, results.items(), strict=True):
        stages = (*wiring.STAGES[part], REST)
        draw_bars(axis, stages, values)
        axis.set_title("\n".join(textwrap.wrap(f"{part}: {run['titles'][part]}", 130)), fontsize=9)
        axis.legend(
            handles=[Patch(label=name, **style(name)) for name in stages],
            loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, frameon=False,
            handlelength=2.4,
        )  # fmt: skip
    # Hatches are drawn in the edge's colour and must not hide the colour below them.
    with matplotlib.rc_context({"hatch.linewidth": 0.7}):
        figure.savefig(path, format="png")


def number(value: float) -> str:
    """Three digits, or all of a larger number."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def draw_bars(axis, stages: tuple[str, ...], results: dict) -> None:
    """One bar per implementation, first on top, with the length of its step at the end."""
    longest = max(max(result["whole"], result["plain"]) for result in results.values())
    for row, result in enumerate(results.values()):
        left = 0.0
        for name in stages:
            value = max(_stage(result, name), 0)
            axis.barh(row, value, left=left, height=0.62, **style(name))
            if value > NARROW * longest:
                axis.text(
                    left + value / 2, row, number(value), ha="center", va="center", fontsize=8,
                    bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
                )  # fmt: skip
            left += value
        axis.plot([result["plain"]] * 2, [row - 0.38, row + 0.38], color="black", linewidth=1.6)
        label = f"{number(result['whole'])} ms\n(| {number(result['plain'])} without clocks)"
        axis.annotate(
            label, (max(left, result["plain"]), row), (6, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
    axis.set_yticks(range(len(results)), list(results))
    axis.set_xlim(0, 1.22 * longest)
    axis.set_ylim(len(results) - 0.4, -0.6)
    axis.set_xlabel("ms")
    axis.spines[["top", "right"]].set_visible(False)


def write(folder: str | Path, run: dict) -> list[Path]:
    """Write `profile.{json,md,png}` of a run with `titles` and `results` of its parts."""
    tables = [markdown(heading(p, run), *cells(p, r)) for p, r in run["results"].items()]
    writers = {
        "json": json_writer(run),
        "md": text_writer("\n".join(tables)),
        "png": lambda path: draw(run, path),
    }
    return write_files(folder, "profile", writers)
