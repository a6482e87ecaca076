"""Tables and learning curves of finished trainings; see `runs.read_run` for what is in one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

SHOWN = ("mIoU", "aAcc", "PQ_st", "PQ", "SQ", "RQ")
"""The metrics of a table, as far as a study has them."""
COST = {"step_s": ("s / step", "{:.2f}"), "peak_mb": ("peak MB", "{:.0f}")}


def dumps(content: dict) -> str:
    """JSON with a line for every list of numbers, which stay readable as a difference."""
    text = json.dumps(content, indent=1)
    return re.sub(r"\[[^][{}\"]*\]", lambda m: re.sub(r"\s+", " ", m[0]), text) + "\n"


def rows_of(trainings: Sequence[dict]) -> dict[str, list[dict]]:
    """The trainings of every row, by its name, in order."""
    rows: dict[str, list[dict]] = {}
    for training in trainings:
        rows.setdefault(training["row"], []).append(training)
    return rows


def spread(values: Sequence[float], form: str = "{:.1f}") -> str:
    """The mean, and half the distance of the lowest and the highest value if there are several."""
    text = form.format(sum(values) / len(values))
    return text if len(values) == 1 else f"{text} ±" + form.format((max(values) - min(values)) / 2)


def table(trainings: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every metric of every split, mean and spread over the seeds.

    What a seed has not got yet, such as a test that is still to run, does not count.
    """
    columns = list(
        dict.fromkeys(
            (split, metric)
            for split in dict.fromkeys(s for t in trainings for s in t["metrics"])
            for metric in SHOWN
            for training in trainings
            if metric in training["metrics"].get(split, ())
        )
    )
    header = ["model", "seeds", *(f"{metric} {split}" for split, metric in columns)]
    header += ["steps", *(label for label, _ in COST.values())]
    body = []
    for name, runs in rows_of(trainings).items():
        cells = [name, str(len(runs))]
        for split, metric in columns:
            values = [r["metrics"][split][metric] for r in runs if split in r["metrics"]]
            cells.append(spread(values) if values else "-")
        cells.append(str(runs[0]["steps"]))
        for key, (_, form) in COST.items():
            values = [run[key] for run in runs if run[key] is not None]
            cells.append(form.format(max(values)) if values else "-")
        body.append(cells)
    return header, body


def tables(content: dict) -> list[tuple[str, tuple]]:
    """The title of every study in a trained.json, and its `table`."""
    studies: dict[str, list[dict]] = {}
    for training in content["trainings"]:
        studies.setdefault(training["study"], []).append(training)
    return [(content["titles"][name], table(found)) for name, found in studies.items()]


def draw_curves(trainings: Sequence[dict], title: str, path: Path) -> None:
    """Write a picture of the validation's mIoU, or PQ, over the steps; a colour for every row."""
    figure = Figure(figsize=(8, 5), layout="constrained", dpi=120)
    axis = figure.subplots()
    colours = matplotlib.colormaps["tab10" if len(rows_of(trainings)) <= 10 else "tab20"]
    for number, (name, runs) in enumerate(rows_of(trainings).items()):
        for count, run in enumerate(runs):
            steps, values = zip(*run["curve"], strict=True)
            axis.plot(
                steps,
                values,
                "o-",
                color=colours(number),
                markersize=3,
                lw=1.2,
                label=None if count else name,
            )
    metric = "mIoU" if "mIoU" in trainings[0]["metrics"]["val"] else "PQ"
    axis.set(title=title, xlabel="training steps", ylabel=f"{metric} of the validation split, %")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, format="png")
