"""Verdicts on the paper's claims, and the tables of tests and classes, on numbers by hand."""

import pytest

from benchmarks import trainings
from benchmarks.kit import claims, trained
from tests.conftest import ROOT


def training(row, seed, **metrics):
    found = {split.replace("_", ", "): dict(mIoU=value) for split, value in metrics.items()}
    classes = {split: {"sky": value, "car": value / 2} for split, value in metrics.items()}
    cost = dict(config=row.lower(), steps=60, step_s=1.0, peak_mb=None)
    return dict(study="s", row=row, seed=seed, metrics=found, classes=classes, **cost)


TRAININGS = [
    training("A", 0, val=60.0, val_general=58.0),
    training("B", 0, val=50.0),
    training("A", 1, val=62.0, val_general=61.0),
    training("B", 1, val=54.0),
]
ABOUT = dict(metric="mIoU", splits=["test", "val"])  # nobody tested on "test"
CLAIM = dict(claim="A beats B", paper="+4.7", higher=["A"], lower=["B"], **ABOUT)
GENERAL = dict(claim="general", paper="+2.1", higher=["A", "general"], lower=["A"], **ABOUT)


@pytest.mark.parametrize(
    ("higher", "lower", "paired", "expected"),
    [
        ([60, 62], [58, 59], False, "supported"),
        ([58, 59], [60, 62], False, "contradicted"),
        ([60, 62], [58, 61], False, "cannot tell"),  # the ranges overlap
        ([60, 62], [58, 61], True, "supported"),
        ([58, 61], [60, 62], True, "contradicted"),
        ([60, 62], [59, 63], True, "cannot tell"),
        ([60, 62], [60, 61], True, "cannot tell"),  # no difference is no sign
        ([70], [50], False, "cannot tell"),  # one seed
    ],
)
def test_a_verdict_needs_two_seeds_that_agree(higher, lower, paired, expected):
    assert claims.verdict(higher, lower, paired) == expected


def test_a_claim_becomes_a_row_with_the_difference_of_every_seed():
    _, rows = claims.table(TRAININGS, [CLAIM, GENERAL, dict(CLAIM, lower=["C"])])
    assert rows == [
        ["A beats B", "+4.7", "mIoU val", "+10.0, +8.0", "supported"],
        ["general", "+2.1", "mIoU val", "-2.0, -1.0", "contradicted"],
    ]
    _, rows = claims.table(TRAININGS[:3], [CLAIM])  # a seed of B is not trained yet
    assert rows == [["A beats B", "+4.7", "mIoU val", "+10.0", "cannot tell"]]


def test_tests_of_some_rows_have_a_table_of_their_own():
    content = dict(titles={"s": "Study"}, claims={"s": [CLAIM]}, trainings=TRAININGS)
    main, further, claim, classes = trained.tables(content)
    assert main[:2] == (
        "Study",
        ["model", "config", "seeds", "mIoU val", "steps", "s / step", "peak MB"],
    )
    assert main[2][1] == ["B", "`b`", "2", "52.0 ±2.0", "60", "1.00", "-"]
    assert further == (
        "Study: further tests",
        ["model", "test", "mIoU"],
        [["A", "val, general", "59.5 ±1.5"]],
    )
    assert claim[2][0][-1] == "supported"
    assert classes == (
        "Study: classes",
        ["IoU val", "A", "B"],
        [["sky", "61.0 ±1.0", "52.0 ±2.0"], ["car", "30.5 ±0.5", "26.0 ±1.0"]],
    )
    assert "## Study: classes\n\n| IoU val | A | B |" in trained.page(trained.tables(content))


def test_every_claim_is_about_rows_and_tests_of_its_study():
    for study in trainings.read_json(ROOT / "benchmarks/trainings.json"):
        for claim in study.get("claims", ()):
            assert claim["metric"] in trainings.runs.METRICS
            for side in (claim["higher"], claim["lower"]):
                tests = {"val", *study["tests"], *study["rows"][side[0]].get("tests", {})}
                assert tests >= {claims.test_of(side, split) for split in claim["splits"]}, claim
