"""One table of what the benchmarks measured, from the json that each of them wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mmmaskformer.utils.files import read_json

from .stage_report import loss_ms

OTHERS = ("mmseg", "mmdet", "transformers", "plain way")
NAMES = {
    "maskformer_r50_ade20k": "ours",
    "mmseg-maskformer_r50_ade20k": "mmseg",
    "maskformer_r50_ade20k, with score maps": "ours",
    "maskformer_r50_coco-panoptic-mmdet": "ours",
    "maskformer_r50_ms-16xb1-75e_coco": "mmdet",
    "labels in bands": "ours",
    "argmax of score maps": "plain way",
    "our fusion": "ours",
    "loop over queries": "plain way",
}
"""What the benchmarks call the implementations; whatever else they measured is left out."""

Rows = list[tuple[str, dict[str, float]]]
"""What was measured, and {implementation: value}; less is better."""


def renamed(results: Mapping[str, Mapping], metric: str) -> dict[str, float]:
    return {
        NAMES[name]: values[metric]
        for name, values in results.items()
        if name in NAMES and values.get(metric) is not None
    }


def of_profile(run: dict) -> Rows:
    training, inference = (run["results"].get(part, {}) for part in ("training", "inference"))
    return [
        ("training step, s", {n: r["plain"] / 1000 for n, r in training.items()}),
        ("matching and losses together, s", {n: loss_ms(r) / 1000 for n, r in training.items()}),
        ("... of the step, %", {n: 100 * loss_ms(r) / r["whole"] for n, r in training.items()}),
        ("inference to labels, s", {n: r["plain"] / 1000 for n, r in inference.items()}),
    ]


def of_scaling(run: dict) -> Rows:
    rows: Rows = []
    of_segments = [row for row in run.get("results", []) if row["factor"] == "segments"]
    for metric, what in (("train_step_s", "step, s"), ("train_memory_mb", "peak memory, MB")):
        for value in dict.fromkeys(row["value"] for row in of_segments):
            found = {row["config"]: row for row in of_segments if row["value"] == value}
            rows.append((f"{value} segments: {what}", renamed(found, metric)))
    slopes = {
        growth["config"]: {"per 10": 10 * growth["b"]}
        for growth in run.get("growth", [])
        if (growth["factor"], growth["metric"]) == ("segments", "train_step_s")
    }
    return [*rows, ("per 10 segments more: step, s", renamed(slopes, "per 10"))]


def of_inference(run: dict) -> Rows:
    settings, found = run["settings"], run["results"]
    labels = f"labels of {settings['classes']} classes"
    return [
        ("inference to score maps, s", renamed(found.get("latency", {}), "latency_s")),
        (f"{labels}, s", renamed(found.get("labels", {}), "latency_s")),
        (f"{labels}, peak MB", renamed(found.get("labels", {}), "inference_memory_mb")),
        ("panoptic fusion, s", renamed(found.get("panoptic", {}), "latency_s")),
    ]


def of_detectors(run: dict) -> Rows:
    labels = {
        "train_step_s": "panoptic training step, s",
        "train_memory_mb": "panoptic training, peak MB",
        "latency_s": "panoptic inference, s",
        "inference_memory_mb": "panoptic inference, peak MB",
    }
    return [(label, renamed(run["results"], metric)) for metric, label in labels.items()]


def of_data(run: dict) -> Rows:
    return [
        (f"{run['task']} data, {recipe}: ms an image", times)
        for recipe, times in run["milliseconds"].items()
    ]


PARTS: dict[str, Callable[[dict], Rows]] = {
    "profile/profile": of_profile,
    "scaling/scaling": of_scaling,
    "inference/inference": of_inference,
    "detectors/benchmark": of_detectors,
    "data/data-panoptic": of_data,
    "data/data-semantic": of_data,
}
"""File below the folder, without `.json`, and what is in it."""


def read(folder: Path) -> tuple[Rows, dict[str, str]]:
    """All rows, and of each part what was measured, on what machine.

    Raises:
        ValueError: a file is not of its benchmark, or there is none at all.
    """
    rows, titles = [], {}
    for name, rows_of in PARTS.items():
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            run = read_json(path)
            found = rows_of(run)
            titles[name] = run["title"]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is not a run of its benchmark ({error!r})") from error
        rows += [(what, values) for what, values in found if len(values) > 1 and "ours" in values]
    if not titles:
        raise ValueError(f"{folder} holds no benchmark; wanted are {', '.join(PARTS)} as .json")
    return rows, titles


def cells(rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Header and rows: values, and in parentheses ours as a share of the other's."""
    others = [name for name in OTHERS if any(name in values for _, values in rows)]
    table = []
    for what, values in rows:
        ours = values["ours"]
        line = [
            f"{number(values[name])} ({ours / values[name]:.2f})" if values.get(name) else "-"
            for name in others
        ]
        table.append([what, number(ours), *line])
    return ["", "ours", *(f"{name} (ours / it)" for name in others)], table


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"
