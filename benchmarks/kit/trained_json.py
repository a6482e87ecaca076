"""The file trained.json, which holds finished trainings; see `runs.read_run` for what is in one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmmaskformer.utils.files import read_json

NUMBER = (int, float)
FIELDS = {
    **dict.fromkeys(("study", "row", "config", "device", "torch"), str),
    **dict.fromkeys(("seed", "steps"), int),
    **dict.fromkeys(("step_s", "minutes"), NUMBER),
    **dict.fromkeys(("options", "loss", "curve"), list),
    **dict.fromkeys(("metrics", "classes", "logs"), dict),
    "peak_mb": (*NUMBER, type(None)),
}
"""What a training has, and of which type."""


def dumps(content: dict) -> str:
    """JSON with a line for every list of numbers, which stay readable as a difference."""
    text = json.dumps(content, indent=1, allow_nan=False)
    return re.sub(r"\[[^][{}\"]*\]", lambda m: re.sub(r"\s+", " ", m[0]), text) + "\n"


def holds_trainings(content: object) -> bool:
    """Whether the content of a json file is that of a trained.json."""
    return isinstance(content, dict) and isinstance(content.get("trainings"), list)


def read(paths: Iterable[Path], known: Sequence[dict]) -> list[dict]:
    """The trainings of several files.

    Args:
        known: `Training.about` of the trainings that there are.

    Raises:
        FileNotFoundError, ValueError: a file is missing, of another kind or damaged, or has a
            training that is not known; names it.
    """
    found = []
    for path in paths:
        content = read_json(path)
        if not holds_trainings(content):
            raise ValueError(f"{path} is no trained.json: it has no list of trainings")
        for number, run in enumerate(content["trainings"]):
            check_complete(run, f"{path}: trainings[{number}]")
            check_known(run, known, path)
        found += content["trainings"]
    return found


def check_report(content: dict, path: str) -> None:
    """Raise ValueError unless a trained.json has all that its tables show."""
    for number, run in enumerate(content["trainings"]):
        where = f"{path}: trainings[{number}]"
        check_complete(run, where)
        for key in ("titles", "claims"):
            if run["study"] not in (content.get(key) or ()):
                raise ValueError(f"{where}: its study {run['study']!r} is not in {key!r}")


def check_complete(run: object, where: str) -> None:
    """Raise ValueError unless this is what `runs.read_run` and `Training.about` tell of a training
    that was validated."""
    if not isinstance(run, dict):
        raise ValueError(f"{where} must be an object, got {run!r}")
    for key, kind in FIELDS.items():
        if not isinstance(run.get(key), kind):
            raise ValueError(f"{where}: {key!r} is missing or of another type: {run.get(key)!r}")
    if not isinstance(run["metrics"].get("val"), dict) or not run["curve"]:
        raise ValueError(f"{where} has no validation in 'metrics' or in 'curve'")
    try:
        json.dumps(run, allow_nan=False)
    except ValueError:
        raise ValueError(f"{where} has a number that is not finite") from None


def check_known(run: dict, known: Sequence[dict], path: Path) -> None:
    """Raise ValueError unless a training is known, with the same config and options."""
    names = {key: run[key] for key in ("study", "row", "seed")}
    where = f"{path}: study {run['study']!r}, row {run['row']!r}, seed {run['seed']}"
    alike = [about for about in known if names.items() <= about.items()]
    if not alike:
        raise ValueError(f"{where} is in no study of benchmarks/trainings.json")
    for key in ("config", "options"):
        if run[key] != alike[0][key]:
            raise ValueError(
                f"{where}: {key} is {run[key]!r}; in benchmarks/trainings.json {alike[0][key]!r}"
            )
