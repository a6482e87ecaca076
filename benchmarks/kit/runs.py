"""What the folder of a training holds: metrics, learning curve, time, memory, checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from mmmaskformer.engine.run_log import logged
from mmmaskformer.utils.files import read_json

CLASS_ROW = re.compile(r"^\|\s*(?P<name>[^|]+?)\s*\|\s*(?P<iou>[\d.]+|nan)\s*\|\s*[\d.nan]+\s*\|$")
VERSION = re.compile(r"^\s+PyTorch: (\S+)$", re.MULTILINE)
MEMORY = "memory.json"
"""The file in which `benchmarks.trainings` notes the peak memory of a training, in MB."""
METRICS = ("mIoU", "aAcc", "PQ_st", "SQ_st", "RQ_st", "PQ", "PQ_th", "SQ", "RQ")
"""The metrics that are kept, as far as a run has them."""


def kept(values: dict) -> dict[str, float]:
    """The metrics of interest of a log entry or a test's json."""
    return {key: round(values[key], 2) for key in METRICS if key in values}


def read_run(folder: Path) -> dict:
    """Everything to keep of a finished training.

    Returns:
        `metrics`: {split: {metric: value}}, of the last validation and of every test;
        `classes`: {split: {class: IoU}}; `loss` and `curve`: [step, loss] and [step, mIoU or PQ];
        `steps`; `step_s`: of a step where they were fastest; `minutes` of all steps; `peak_mb`,
        None where nobody looked; `torch`: its version; `logs`: {file: sha256}.
    """
    steps, checks = logged(folder)
    every = steps[1]["step"] - steps[0]["step"] if len(steps) > 1 else steps[0]["step"]
    logs = sorted(folder.glob("*/*.log"))
    memory = folder / MEMORY
    run = {
        "metrics": {"val": kept(checks[-1])} if checks else {},
        "classes": {"val": classes(logs)},
        "steps": steps[-1]["step"],
        "step_s": round(min(entry["time"] for entry in steps), 3),
        "minutes": round(sum(entry["time"] for entry in steps) * every / 60, 1),
        "peak_mb": read_json(memory)["peak_mb"] if memory.is_file() else None,
        "torch": VERSION.search(logs[-1].read_text()).group(1),
        "loss": [[entry["step"], round(entry["loss"], 3)] for entry in steps],
        "curve": [[e["step"], round(e.get("mIoU", e.get("PQ")), 2)] for e in checks],
        "logs": {str(log.relative_to(folder)): digest(log) for log in logs},
    }
    for test in sorted(path for path in folder.iterdir() if (path / "test.txt").is_file()):
        results = sorted(test.glob("*/*.json"))
        name = (test / "test.txt").read_text().strip()
        if results:
            run["metrics"][name] = kept(read_json(results[-1]))
            run["classes"][name] = classes(test.glob("*/*.log"))
            run["logs"].update(
                {str(p.relative_to(folder)): digest(p) for p in test.glob("*/*.log")}
            )
    run["classes"] = {name: found for name, found in run["classes"].items() if found}
    return run


def classes(logs: Iterable[Path]) -> dict[str, float]:
    """The IoU of every class in the last of mmseg's tables in the logs."""
    found: dict[str, float] = {}
    for log in sorted(logs):
        for line in log.read_text().splitlines():
            if line.startswith("|") and "Class" in line:
                found = {}
            elif match := CLASS_ROW.match(line):
                found[match["name"]] = float(match["iou"])
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
