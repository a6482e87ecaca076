"""Regression guard: each config's metrics over those of the run's first config."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .report import METRICS

MUST_AGREE = ("size", "batch", "segments", "device", "amp", "options", "num_classes")
"""Settings that ratios depend on."""


@dataclass(frozen=True)
class Change:
    """A ratio of an earlier run and of this one."""

    config: str
    metric: str
    old: float
    new: float

    @property
    def worsening(self) -> float:
        """By which part the ratio got worse; negative: better."""
        if METRICS[self.metric].higher_is_better:
            return self.old / self.new - 1
        return self.new / self.old - 1


def ratios(results: dict) -> dict:
    """{config: {metric: value / value of the first config}}, without the first."""
    reference, *others = results
    return {
        name: {
            key: value / results[reference][key]
            for key, value in results[name].items()
            if results[reference].get(key)
        }
        for name in others
    }


def read_run(path: str | Path) -> dict:
    """The json of an earlier run.

    Raises:
        ValueError: it can not be read, or is not such a file.
    """
    try:
        run = json.loads(Path(path).read_text())
        known = {"reference", "ratios", "settings", "results"} <= run.keys()
        metrics = {key for values in run["ratios"].values() for key in values} if known else set()
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} can not be read as benchmark.json: {error}") from error
    if not known:
        raise ValueError(f"{path} is not a benchmark.json: it has no reference, ratios, settings")
    if metrics - METRICS.keys():
        raise ValueError(f"{path}: unknown metrics {sorted(metrics - METRICS.keys())}")
    return run


def changes(run: dict, old: dict, path: str) -> list[Change]:
    """What both runs have.

    Args:
        run, old: contents of `benchmark.json`.
        path: of the old one, for errors.

    Raises:
        ValueError: another reference or setting, or nothing in common.
    """
    for key in MUST_AGREE:
        if old["settings"].get(key) != run["settings"].get(key):
            raise ValueError(
                f"{path} was measured with {key} {old['settings'].get(key)}, this run with "
                f"{run['settings'].get(key)}: ratios can not be compared"
            )
    if old["reference"] != run["reference"]:
        raise ValueError(
            f"{path} holds ratios to {old['reference']}, the first config here is "
            f"{run['reference']}"
        )
    found = [
        Change(name, key, old["ratios"][name][key], value)
        for name, values in run["ratios"].items()
        for key, value in values.items()
        if key in old["ratios"].get(name, {})
    ]
    if not found:
        raise ValueError(f"{path} and this run have no ratio of any config in common")
    return found
