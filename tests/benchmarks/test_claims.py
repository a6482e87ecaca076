"""Verdicts on the paper's claims, and the tables of tests and classes, on numbers by hand."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.kit import claims, runs, trained
from benchmarks.kit.studies import name_of_test, read_studies


def training(row, seed, **metrics):
    found = {split.replace("_", ", "): dict(mIoU=value) for split, value in metrics.items()}
    classes = {split: {"sky": value, "car": value / 2} for split, value in metrics.items()}
    cost = dict(config=row.lower(), steps=60, device="CPU", step_s=1.0, minutes=3.4, peak_mb=None)
    return dict(study="s", row=row, seed=seed, metrics=found, classes=classes, **cost)


TRAININGS = [
    training("A", 0, val=60.0, val_general=58.0),
    training("B", 0, val=50.0),
    training("A", 1, val=62.0, val_general=61.0),
    training("B", 1, val=52.0),
]
ABOUT = dict(metric="mIoU", splits=["test", "val"])  # nobody tested on "test"
CLAIM = dict(claim="A beats B", paper="+4.7", higher=["A"], lower=["B"], **ABOUT)
GENERAL = dict(claim="general", paper="+2.1", higher=["A", "general"], lower=["A"], **ABOUT)


CALM, WILD = [[60, 60.5], [50, 50.5]], [[60, 70], [50, 60]]


@pytest.mark.parametrize(
    ("higher", "lower", "rows", "expected"),
    [
        ([60, 62], [58, 59], CALM, "supported"),
        ([58, 59], [60, 62], CALM, "contradicted"),
        ([60, 62], [58, 59], WILD, "cannot tell"),
        ([60, 61], [60, 61], CALM, "cannot tell"),  # no difference
        ([70], [50], CALM, "cannot tell"),  # one seed
        ([70, 70], [50, 50], [[70], [50]], "cannot tell"),  # nobody knows the spread
    ],
)
def test_a_verdict_needs_a_difference_beyond_the_spread_of_all_rows(higher, lower, rows, expected):
    assert claims.verdict(higher, lower, False, rows) == expected


def test_two_rows_are_compared_as_in_students_test():
    """With no further rows the pooled spread is that of scipy's t-test."""
    generator = np.random.default_rng(0)
    for shift in (0, 1, 2, 3):
        first, second = generator.normal(shift, 1, 3), generator.normal(0, 1, 3)
        sure = stats.ttest_ind(first, second).pvalue < claims.LEVEL
        found = claims.verdict(first, second, False, [first, second])
        assert (found != "cannot tell") == sure
        sure = stats.ttest_rel(first, second).pvalue < claims.LEVEL
        found = claims.verdict(first, second, True, [first, second])
        assert (found != "cannot tell") == sure


def test_pairs_need_a_difference_beyond_their_own_spread():
    assert claims.verdict([60, 62], [58.9, 61], True, WILD) == "supported"
    assert claims.verdict([58.9, 61], [60, 62], True, WILD) == "contradicted"
    assert claims.verdict([60, 62], [57, 61.5], True, CALM) == "cannot tell"


def test_a_claim_becomes_a_row_with_the_difference_of_every_seed():
    _, rows = claims.table(TRAININGS, [CLAIM, GENERAL, dict(CLAIM, lower=["C"])])
    assert rows == [
        ["A beats B", "+4.7", "mIoU val", "+10.0, +10.0", "supported"],
        ["general", "+2.1", "mIoU val", "-2.0, -1.0", "cannot tell"],
    ]
    _, rows = claims.table(TRAININGS[:3], [CLAIM])  # a seed of B is not trained yet
    assert rows == [["A beats B", "+4.7", "mIoU val", "+10.0", "cannot tell"]]


def test_tests_of_some_rows_have_a_table_of_their_own():
    content = dict(titles={"s": "Study"}, claims={"s": [CLAIM]}, trainings=TRAININGS)
    main, further, claim, classes = trained.tables(content)
    assert main[:2] == (
        "Study",
        [
            "model",
            "config",
            "seeds",
            "mIoU val",
            "steps",
            "device",
            "s / step",
            "minutes",
            "peak MB",
        ],
    )
    assert main[2][1] == ["B", "`b`", "2", "51.0 ±1.0", "60", "CPU", "1.00", "3", "-"]
    assert further == (
        "Study: further tests",
        ["model", "test", "mIoU"],
        [["A", "val, general", "59.5 ±1.5"]],
    )
    only = [training for training in TRAININGS if training["row"] == "A"]
    assert trained.tables(dict(content, trainings=only))[1] == further
    assert claim[2][0][-1] == "supported"
    assert classes == (
        "Study: classes",
        ["IoU val", "A", "B"],
        [["sky", "61.0 ±1.0", "51.0 ±1.0"], ["car", "30.5 ±0.5", "25.5 ±0.5"]],
    )
    assert "## Study: classes\n\n| IoU val | A | B |" in trained.page(trained.tables(content))


def test_every_claim_is_about_rows_and_tests_of_its_study():
    for study in read_studies():
        for claim in study["claims"]:
            assert claim["metric"] in runs.METRICS
            for side in (claim["higher"], claim["lower"]):
                tests = {"val", *study["rows"][side[0]]["tests"]}
                assert tests >= {name_of_test(split, *side[1:]) for split in claim["splits"]}, claim
