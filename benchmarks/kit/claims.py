"""Claims of the paper, and what finished trainings say about them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from .studies import name_of_test

SUPPORTED, CONTRADICTED, OPEN = "supported", "contradicted", "cannot tell"
HEADER = ["claim", "paper", "metric", "differences here", "verdict"]
LEVEL = 0.05
"""How often chance alone may bring a difference that counts."""


def verdict(
    higher: Sequence[float], lower: Sequence[float], paired: bool, rows: Sequence[Sequence[float]]
) -> str:
    """What a two-sided t-test says of the claim that one is higher than the other.

    Args:
        higher, lower: a number for every seed.
        paired: whether the two are of the same weights, tested in two ways: then their differences
            are compared with 0.
        rows: the numbers of the seeds of every row of the study, which all are taken to spread
            alike: two seeds alone say little of their spread.
    """
    differences = np.subtract(higher, lower)
    mean, count = float(differences.mean()), len(differences)
    samples = [differences] if paired else [np.asarray(row) for row in rows]
    freedom = sum(len(sample) - 1 for sample in samples)
    if count < 2 or not freedom or mean == 0:
        return OPEN
    variance = sum(((sample - sample.mean()) ** 2).sum() for sample in samples) / freedom
    error = math.sqrt(variance * (1 if paired else 2) / count)
    if abs(mean) <= stats.t.ppf(1 - LEVEL / 2, freedom) * error:
        return OPEN
    return SUPPORTED if mean > 0 else CONTRADICTED


def table(trainings: Sequence[dict], claims: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and a row for every claim of a study, and split, whose trainings are there.

    Args:
        claims: `claim` in words, `paper` with its numbers, `higher` and `lower`, each [row of the
            study] or [row, kind of test], the `metric` and the `splits`.
    """
    body = []
    for claim, split in [(c, split) for c in claims for split in c["splits"]]:
        metric = claim["metric"]
        higher, lower = (values(trainings, claim[s], split, metric) for s in ("higher", "lower"))
        seeds = [seed for seed in higher if seed in lower]
        if seeds:
            found = [[side[seed] for seed in seeds] for side in (higher, lower)]
            shown = ", ".join(f"{a - b:+.1f}" for a, b in zip(*found, strict=True))
            paired = claim["higher"][0] == claim["lower"][0]
            rows = [values(trainings, [row], split, metric) for row in rows_of(trainings)]
            result = verdict(*found, paired, [list(row.values()) for row in rows if row])
            body.append([claim["claim"], claim["paper"], f"{metric} {split}", shown, result])
    return HEADER, body


def rows_of(trainings: Sequence[dict]) -> dict[str, list[dict]]:
    """The trainings of every row, by its name, in order."""
    rows: dict[str, list[dict]] = {}
    for training in trainings:
        rows.setdefault(training["row"], []).append(training)
    return rows


def values(
    trainings: Sequence[dict], side: Sequence[str], split: str, metric: str
) -> dict[int, float]:
    """{seed: value} of the metric, for a claim's [row] or [row, kind of test]."""
    row, test = side[0], name_of_test(split, *side[1:])
    return {
        t["seed"]: t["metrics"][test][metric]
        for t in trainings
        if t["row"] == row and metric in t["metrics"].get(test, ())
    }
