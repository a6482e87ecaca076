"""What the folder of a training holds: metrics, learning curve, time, memory, checksums."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from mmmaskformer.engine.run_log import logged
from mmmaskformer.utils.files import read_json

CLASS_ROW = re.compile(r"^\|\s*(?P<name>[^|]+?)\s*\|\s*(?P<iou>[\d.]+|nan)\s*\|\s*[\d.nan]+\s*\|$")
VERSION = re.compile(r"^\s+PyTorch: (\S+)$", re.MULTILINE)
GPU = re.compile(r"^\s+GPU ([\d,]+): (.+)$", re.MULTILINE)
"""The numbers of the GPUs that a process saw, and their name; a line for every name."""
MEMORY = "memory.json"
"""The file in which `benchmarks.trainings` notes the peak memory of a training, in MB."""
TESTED = "test.txt"
"""The file in which `benchmarks.trainings` notes the name of a test that is done."""
STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", re.MULTILINE)
METRICS = ("mIoU", "aAcc", "PQ_st", "SQ_st", "RQ_st", "PQ", "PQ_th", "SQ", "RQ")
"""The metrics that are kept, as far as a run has them."""
OF_STUFF = {"PQ_st": "PQ_stuff", "SQ_st": "SQ_stuff", "RQ_st": "RQ_stuff"}
"""What panoptic runs call the part of the stuff classes -> its name here, as the same words mean
the quality over all classes for semantic runs."""


def kept(values: dict) -> dict[str, float]:
    """The metrics of interest of a log entry or a test's json, as far as they are numbers."""
    names = OF_STUFF if "PQ" in values else {}
    found = {names.get(key, key): values[key] for key in METRICS if key in values}
    return {key: round(value, 2) for key, value in found.items() if math.isfinite(value)}


def test_folder(folder: Path, name: str) -> Path:
    """Where a test of the training in `folder` writes."""
    return folder / "".join(c if c.isalnum() else "_" for c in f"test {name}")


def read_run(folder: Path) -> dict:
    """Everything to keep of a finished training.

    Returns:
        `metrics`: {split: {metric: value}}, of the last validation and of every test;
        `classes`: {split: {class: IoU}}; `loss` and `curve`: [step, loss] and [step, mIoU or PQ];
        `steps`; `step_s`: of a step where they were fastest; `minutes` of the clock, validations
        included; `device`: "CPU", or the GPUs that were there, of all processes one after the
        other; `peak_mb`: on a GPU what torch had allocated in training, on a CPU the process's,
        None for a run of several and where nobody looked; `torch`: the last one's version;
        `logs`: {file: sha256}.
    """
    steps, checks = logged(folder)
    logs = sorted(folder.glob("*/*.log"))
    devices = list(dict.fromkeys(map(device, logs)))
    run = {
        "metrics": {"val": kept(checks[-1])} if checks else {},
        "classes": {"val": classes(logs)},
        "steps": steps[-1]["step"],
        "step_s": round(min(entry["time"] for entry in steps), 3),
        "minutes": round(sum(map(minutes, logs)), 1),
        "device": ", ".join(devices),
        "peak_mb": peak_mb(folder, logs, steps, devices),
        "torch": VERSION.search(logs[-1].read_text()).group(1),
        "loss": [[e["step"], round(e["loss"], 3)] for e in steps if math.isfinite(e["loss"])],
        "curve": [[e["step"], round(e.get("mIoU", e.get("PQ")), 2)] for e in checks],
        "logs": {str(log.relative_to(folder)): digest(log) for log in logs},
    }
    for test in sorted(path for path in folder.iterdir() if (path / TESTED).is_file()):
        results = sorted(test.glob("*/*.json"))
        name = (test / TESTED).read_text().strip()
        if results:
            run["metrics"][name] = kept(read_json(results[-1]))
            run["classes"][name] = classes(test.glob("*/*.log"))
            run["logs"].update(
                {str(p.relative_to(folder)): digest(p) for p in test.glob("*/*.log")}
            )
    run["classes"] = {name: found for name, found in run["classes"].items() if found}
    return run


def device(log: Path) -> str:
    """What the process of a log had: "CPU", or names of GPUs, such as "8 x NVIDIA V100"."""
    found = [(len(numbers.split(",")), name) for numbers, name in GPU.findall(log.read_text())]
    return " + ".join(f"{n} x {name}" if n > 1 else name for n, name in found) or "CPU"


def peak_mb(
    folder: Path, logs: Sequence[Path], steps: Sequence[dict], devices: Sequence[str]
) -> float | None:
    """The peak memory of the training in `folder`, if all of it was on one kind of device."""
    if len(devices) > 1:
        return None
    if devices != ["CPU"]:
        return max(entry["memory"] for entry in steps)
    memory = folder / MEMORY
    return read_json(memory)["peak_mb"] if memory.is_file() and len(logs) == 1 else None


def classes(logs: Iterable[Path]) -> dict[str, float]:
    """The IoU of every class in the last of mmseg's tables in the logs; not of a class that is
    neither there nor predicted, which has none."""
    found: dict[str, float] = {}
    for log in sorted(logs):
        for line in log.read_text().splitlines():
            if line.startswith("|") and "Class" in line:
                found = {}
            elif (match := CLASS_ROW.match(line)) and match["iou"] != "nan":
                found[match["name"]] = float(match["iou"])
    return found


def minutes(log: Path) -> float:
    """The time between the first and the last line of a log."""
    stamps = STAMP.findall(log.read_text())
    first, last = (datetime.strptime(stamps[i], "%Y/%m/%d %H:%M:%S") for i in (0, -1))
    return (last - first).total_seconds() / 60


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
