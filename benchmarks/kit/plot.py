"""Accuracy or time over parameters and over memory, one labelled point per config."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from .report import METRICS

Y_AXES = ("mIoU", "PQ", "train_step_s", "latency_s", "gflops")
X_AXES = (("parameters_m",), ("train_memory_mb", "inference_memory_mb"))
OFFSETS = [(0, 9), (0, -16), (9, -3), (-9, -3), (9, 9), (-9, 9), (9, -16), (-9, -16)] + [
    (dx, dy) for dy in (22, -29, 35, -42) for dx in (0, 9, -9)
]
"""Where a label may stand beside its point, in typographic points, best first."""


def measured(results: dict, keys: tuple[str, ...]) -> str | None:
    """The first of the metrics that all configs have."""
    found = (key for key in keys if all(key in values for values in results.values()))
    return next(found, None)


def draw(results: dict, title: str, path: str | Path) -> None:
    """Write the picture; what was not measured for all configs is left out."""
    y_key = measured(results, Y_AXES)
    x_keys = [key for key in (measured(results, keys) for keys in X_AXES) if key and key != y_key]
    figure = Figure(figsize=(6.4 * max(1, len(x_keys)), 5.2), layout="constrained", dpi=120)
    figure.suptitle("\n".join(textwrap.wrap(title, 70 * max(1, len(x_keys)))), fontsize=10)
    if y_key is None or not x_keys:
        x_keys = []
        figure.text(0.5, 0.5, "nothing was measured of all configs", ha="center")
    colours = matplotlib.colormaps["tab10"]
    axes = figure.subplots(1, len(x_keys), squeeze=False, sharey=True)[0] if x_keys else []
    for axis, x_key in zip(axes, x_keys, strict=True):
        points = [(values[x_key], values[y_key]) for values in results.values()]
        for i, point in enumerate(points):
            axis.plot(*point, "o", color=colours(i % 10), markersize=8)
        axis.set_xlabel(METRICS[x_key].label)
        axis.grid(alpha=0.3)
        axis.margins(0.18)
        limits = (axis.set_xlim, axis.get_xlim()), (axis.set_ylim, axis.get_ylim())
        for lowest, (set_limits, (low, high)) in zip(
            map(min, zip(*points, strict=True)), limits, strict=True
        ):
            set_limits(max(low, 0) if lowest >= 0 else low, high)
    if x_keys:
        axes[0].set_ylabel(METRICS[y_key].label)
    figure.draw_without_rendering()
    for axis, x_key in zip(axes, x_keys, strict=True):
        label_points(axis, {n: (v[x_key], v[y_key]) for n, v in results.items()}, colours)
    figure.savefig(path, format="png")


def label_points(axis, points: dict, colours) -> None:
    """Write each name beside its point, where it covers no other label, no point and no edge."""
    pixels = [axis.transData.transform(point) for point in points.values()]
    taken = [matplotlib.transforms.Bbox.from_extents(x - 7, y - 7, x + 7, y + 7) for x, y in pixels]
    frame = axis.get_window_extent()
    for i, (name, point) in enumerate(points.items()):
        best, best_cost = None, float("inf")
        for dx, dy in OFFSETS:
            side = "center" if dx == 0 else ("left" if dx > 0 else "right")
            label = axis.annotate(
                name, point, (dx, dy), textcoords="offset points", ha=side, fontsize=8.5,
                color=colours(i % 10), annotation_clip=False,
            )  # fmt: skip
            box = label.get_window_extent()
            outside = not (frame.x0 < box.x0 and box.x1 < frame.x1)
            outside = outside or not (frame.y0 < box.y0 and box.y1 < frame.y1)
            cost = 100 * outside + box.count_overlaps(taken)
            if cost < best_cost:
                best, label = label, best
                best_cost, best_box = cost, box
            if label is not None:
                label.remove()
            if best_cost == 0:
                break
        taken.append(best_box)
