"""Claims of the paper, and what finished trainings say about them."""

from __future__ import annotations

from collections.abc import Sequence

SUPPORTED, CONTRADICTED, OPEN = "supported", "contradicted", "cannot tell"
HEADER = ["claim", "paper", "metric", "differences here", "verdict"]


def verdict(higher: Sequence[float], lower: Sequence[float], paired: bool) -> str:
    """What numbers say of the claim that one is higher than the other.

    Args:
        higher, lower: a number for every seed.
        paired: whether the two are of the same weights, tested in two ways. Then every seed's
            difference has to have the same sign. Otherwise the ranges must not overlap.
    """
    differences = [a - b for a, b in zip(higher, lower, strict=True)]
    gap = min(differences) if paired else min(higher) - max(lower)
    counter = -max(differences) if paired else min(lower) - max(higher)
    if len(differences) < 2 or (gap <= 0 and counter <= 0):
        return OPEN
    return SUPPORTED if gap > 0 else CONTRADICTED


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
            result = verdict(*found, paired=claim["higher"][0] == claim["lower"][0])
            body.append([claim["claim"], claim["paper"], f"{metric} {split}", shown, result])
    return HEADER, body


def values(
    trainings: Sequence[dict], side: Sequence[str], split: str, metric: str
) -> dict[int, float]:
    """{seed: value} of the metric, for a claim's [row] or [row, kind of test]."""
    row, test = side[0], test_of(side, split)
    return {
        t["seed"]: t["metrics"][test][metric]
        for t in trainings
        if t["row"] == row and metric in t["metrics"].get(test, ())
    }


def test_of(side: Sequence[str], split: str) -> str:
    """The name of the test that a claim's [row] or [row, kind of test] means: "test, general"."""
    return ", ".join([split, *side[1:]])
