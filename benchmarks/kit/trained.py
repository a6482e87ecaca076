"""Tables and learning curves of finished trainings; see `runs.read_run` for what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from . import claims, report
from .claims import rows_of
from .studies import kind_of

SHOWN = ("mIoU", "aAcc", "PQ_st", "PQ", "SQ", "RQ")
"""The metrics of a table, as far as a study has them."""
COST = {
    "step_s": ("s / step", "{:.2f}"),
    "minutes": ("minutes", "{:.0f}"),
    "peak_mb": ("peak MB", "{:.0f}"),
}
"""What a training costs: the largest value of its seeds, if they ran on one kind of device."""


def spread(values: Sequence[float], form: str = "{:.1f}") -> str:
    """The mean, and half the distance of the lowest and the highest value if there are several."""
    text = form.format(sum(values) / len(values))
    return text if len(values) == 1 else f"{text} ±" + form.format((max(values) - min(values)) / 2)


def common_splits(trainings: Sequence[dict]) -> list[str]:
    """The splits on which every row was tested, the last validation first; not those of tests of
    a kind, such as "test, m.s."."""
    tested = [{s for t in runs for s in t["metrics"]} for runs in rows_of(trainings).values()]
    plain = [split for split in all_splits(trainings) if not kind_of(split)]
    return [split for split in plain if all(split in splits for splits in tested)]


def all_splits(trainings: Sequence[dict]) -> list[str]:
    """The splits on which any row was tested."""
    return list(dict.fromkeys(split for t in trainings for split in t["metrics"]))


def metric_cells(runs: Sequence[dict], split: str, metrics: Sequence[str]) -> list[str]:
    """Mean and spread of metrics over the seeds; what a seed has not got yet does not count."""
    found = [r["metrics"][split] for r in runs if split in r["metrics"]]
    values = ([f[metric] for f in found if metric in f] for metric in metrics)
    return [spread(v) if v else "-" for v in values]


def metrics_of(trainings: Sequence[dict], splits: Sequence[str]) -> list[str]:
    """The metrics to show that any training has on one of the splits."""
    found = {m for t in trainings for s in splits for m in t["metrics"].get(s, ())}
    return [metric for metric in SHOWN if metric in found]


def table(trainings: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the metrics of the common splits, and the cost."""
    columns = {s: metrics_of(trainings, [s]) for s in common_splits(trainings)}
    header = [
        "model",
        "config",
        "seeds",
        *(f"{m} {s}" for s, metrics in columns.items() for m in metrics),
    ]
    header += ["steps", "device", *(label for label, _ in COST.values())]
    body = []
    for name, runs in rows_of(trainings).items():
        cells = [name, f"`{runs[0]['config']}`", str(len(runs))]
        for split, metrics in columns.items():
            cells += metric_cells(runs, split, metrics)
        devices = dict.fromkeys(run["device"] for run in runs)
        steps = dict.fromkeys(str(run["steps"]) for run in runs)
        cells += [", ".join(steps), ", ".join(devices)]
        for key, (_, form) in COST.items():
            values = [run[key] for run in runs if len(devices) == 1 and run[key] is not None]
            cells.append(form.format(max(values)) if values else "-")
        body.append(cells)
    return header, body


def further_table(trainings: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a line for every test of a kind, and for every one that not all rows had."""
    common = common_splits(trainings)
    further = [split for split in all_splits(trainings) if split not in common]
    metrics = metrics_of(trainings, further)
    body = [
        [name, split, *metric_cells(runs, split, metrics)]
        for name, runs in rows_of(trainings).items()
        for split in further
        if any(split in run["metrics"] for run in runs)
    ]
    return ["model", "test", *metrics], body


def class_table(trainings: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the IoU of every class, on the last of the common splits."""
    split = common_splits(trainings)[-1]
    rows = rows_of(trainings)
    found = {
        n: [r["classes"][split] for r in runs if split in r["classes"]] for n, runs in rows.items()
    }
    names = dict.fromkeys(name for runs in found.values() for run in runs for name in run)
    body = [
        [name, *(spread([run[name] for run in runs if name in run]) for runs in found.values())]
        for name in names
    ]
    return [f"IoU {split}", *rows], body


def tables(content: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of all tables of a trained.json, those of a study together."""
    studies: dict[str, list[dict]] = {}
    for training in content["trainings"]:
        studies.setdefault(training["study"], []).append(training)
    found = []
    for name, trainings in studies.items():
        title = content["titles"][name]
        found += [
            (title, *table(trainings)),
            (f"{title}: further tests", *further_table(trainings)),
            (f"{title}: the paper's claims", *claims.table(trainings, content["claims"][name])),
            (f"{title}: classes", *class_table(trainings)),
        ]
    return [table for table in found if table[2]]


def page(tables: Sequence[tuple]) -> str:
    """All tables as a page in Markdown."""
    text = [
        "# All tables of the trainings\n",
        "`python -m benchmarks.trainings report --out docs/trained` writes this page.\n",
    ]
    return "\n".join([*text, *(report.markdown(f"## {title}", *rest) for title, *rest in tables)])


def draw_curves(trainings: Sequence[dict], title: str, path: Path) -> None:
    """Write a picture of the validation's mIoU, or PQ, over the steps; a colour for every row."""
    figure = Figure(figsize=(10, 5), layout="constrained", dpi=120)
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
    figure.legend(loc="outside right center")
    figure.savefig(path, format="png")
