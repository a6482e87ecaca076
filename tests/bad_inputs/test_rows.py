"""The table of bad inputs: how it judges, and that its rows hold."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.bad_inputs.row import Row
from tests.bad_inputs.running import judge
from tests.bad_inputs.tables import ROWS
from tests.conftest import ROOT

TRACEBACK = "Traceback (most recent call last):\n  File\n"


@pytest.mark.parametrize(
    ("wants", "status", "text", "verdict"),
    [
        ("ok", 0, "", "accepted"),
        ("ok", 2, "error: no", "refused"),
        ("ok: mIoU", 0, "aAcc 3, mIoU 4", "accepted"),
        ("ok: mIoU", 0, "aAcc 3", "silently wrong"),
        ("ok|size", 0, "", "accepted"),
        ("ok|size", 2, "error: the size is 3", "one clear line"),
        ("ok|size", 2, "error: no", "unclear"),
        (r"a\.png", 2, "working\nerror: a.png is missing\n", "one clear line"),
        (r"a\.png", 2, "usage: x\nx.py: error: argument a.png\n", "one clear line"),
        (r"a\.png", 2, "error: something", "unclear"),
        (r"a\.png", 2, "a.png is missing", "unclear"),
        (r"a\.png", 0, "a.png", "silently wrong"),
        (r"a\.png", 1, TRACEBACK + "ValueError: a.png is missing", "traceback with a clear line"),
        (r"a\.png", 1, TRACEBACK + "KeyError: 0", "traceback"),
        (r"a\.png", None, "a.png", "hang"),
        (r"a\.png", -11, "error: a.png", "crash"),
    ],
)
def test_outcomes_are_told_apart(wants, status, text, verdict):
    assert judge(Row("train", "bad value", "x", wants), status, text) == verdict


def test_rows_are_many_and_differ():
    assert len(ROWS) >= 380
    assert [title for title, n in Counter(row.title for row in ROWS).items() if n > 1] == []


def counts_of(*arguments):
    """How many rows came to what, and what was printed."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.bad_inputs", *arguments, "--verbose"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = re.findall(r"^\| ([\w ]+) \| (\d+) \|$", result.stdout, re.MULTILINE)
    return {verdict: int(count) for verdict, count in found if int(count)}, result.stdout


@pytest.mark.slow
def test_the_rows_of_a_tool_hold():
    counts, output = counts_of("--tools", "prepare_ade20k_full")
    assert counts == {"accepted": 1, "one clear line": 11}, output


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["convert_weights", "prepare_coco_stuff_10k", "prepare_camvid"])
def test_the_rows_of_more_tools_hold(tool):
    counts, output = counts_of("--tools", tool)
    assert set(counts) == {"accepted", "one clear line"}, output


@pytest.mark.long
def test_all_rows_hold():
    """No hang, crash or silent wrong result, no traceback, and 95 % as they should be."""
    counts, output = counts_of()
    assert set(counts) <= {"accepted", "one clear line", "unclear", "refused"}, output
    good = counts["accepted"] + counts["one clear line"]
    assert good >= 0.95 * sum(counts.values()), output
