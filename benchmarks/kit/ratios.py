"""Regression guard: each config's metrics over those of the run's first config."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmmaskformer.utils.files import read_json
from mmmaskformer.utils.text import listing

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
        """By which part the ratio got worse; negative: better, infinite: from or to nothing."""
        worse, better = self.new, self.old
        if METRICS[self.metric].higher_is_better:
            worse, better = better, worse
        if better == 0:
            return math.inf if worse else 0.0
        return worse / better - 1


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
        OSError, ValueError: it can not be read, or is not such a file.
    """
    run = read_json(path)
    try:
        known = "reference" in run and all(
            isinstance(run.get(key), dict) for key in ("ratios", "settings", "machine", "results")
        )
        found = [item for v in run["ratios"].values() for item in v.items()] if known else []
    except (TypeError, AttributeError):
        known = False
    if not known:
        raise ValueError(
            f"{path} is not a benchmark.json: wanted reference, ratios, settings, machine, results"
        )
    if not found:
        raise ValueError(f"{path} holds no ratios: it is of one config only")
    for key, ratio in found:
        if key not in METRICS:
            raise ValueError(f"{path}: unknown metric {key!r}")
        if not isinstance(ratio, (int, float)) or not 0 <= ratio < math.inf:
            raise ValueError(f"{path}: a ratio of {key} must be a number >= 0, got {ratio!r}")
    return run


def check_comparable(run: dict, configs: Sequence[str], old: dict, path: str) -> None:
    """Whether ratios of a run that is to be measured can be compared with an earlier one's.

    Args:
        run: what is known before: `settings`, `machine` and `reference`.
        configs: names that will be measured.
        old, path: the earlier run.

    Raises:
        ValueError: another setting, machine or reference, or a config is missing.
    """
    run = json.loads(json.dumps(run))  # tuples are lists there, too
    pairs = [(key, old["settings"].get(key), run["settings"].get(key)) for key in MUST_AGREE]
    # With its number of threads: where memory is slower, other models gain than with more cores.
    pairs.append(("machine", old["machine"].get("processor"), run["machine"]["processor"]))
    for key, theirs, ours in pairs:
        if theirs != ours:
            raise ValueError(
                f"{path} was measured with {key} {theirs}, this run with {ours}: ratios can not "
                "be compared"
            )
    if old["reference"] != run["reference"]:
        raise ValueError(
            f"{path} holds ratios to {old['reference']}, the first config here is "
            f"{run['reference']}"
        )
    missing = [name for name in old["ratios"] if name not in configs]
    if missing:
        raise ValueError(f"{path} has ratios of configs that this run lacks: {listing(missing)}")


def changes(run: dict, old: dict, path: str) -> list[Change]:
    """Every ratio of the old run and what it is now.

    Args:
        run, old: contents of `benchmark.json`, `check_comparable`.
        path: of the old one, for errors.

    Raises:
        ValueError: this run lacks some; they are named.
    """
    new = run["ratios"]
    pairs = [(name, key) for name, values in old["ratios"].items() for key in values]
    missing = [f"{key} of {name}" for name, key in pairs if key not in new.get(name, {})]
    if missing:
        raise ValueError(f"{path} has ratios that this run lacks: {listing(missing)}")
    return [Change(name, key, old["ratios"][name][key], new[name][key]) for name, key in pairs]
