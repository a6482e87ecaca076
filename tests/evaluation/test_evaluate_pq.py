"""tools/evaluate_pq.py as a user runs it."""

import json
import os
import runpy
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from mmmaskformer import evaluation
from tests.commands import mistake
from tests.conftest import ROOT
from tests.evaluation.files import CATEGORIES, edit, example, segment, write_side

TOOL = ROOT / "tools/evaluate_pq.py"


def run(gt, pred, *options, python=(), code=0):
    result = subprocess.run(
        [sys.executable, *python, str(TOOL), "--gt_json_file", str(gt), "--pred_json_file"]
        + [str(pred), *map(str, options)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == code, result.stderr
    return result


def test_table_and_file(tmp_path):
    gt, pred = example(tmp_path, images=20)
    result = run(gt, pred, "--out", tmp_path / "pq.json", "--workers", 2)
    assert result.stdout.splitlines() == [
        "          |    PQ     SQ     RQ     N",
        "All       |  94.4   94.4  100.0     3",
        "Things    |  91.7   91.7  100.0     2",
        "Stuff     | 100.0  100.0  100.0     1",
    ]
    assert result.stderr == ""
    written = json.loads((tmp_path / "pq.json").read_text())
    assert set(written) == {"All", "Things", "Stuff", "per_class"}
    expected = evaluation.count_pairs(*evaluation.read_pairs(gt, pred)).compute()
    for group in ("All", "Things", "Stuff"):
        assert written[group] == pytest.approx(expected[group], abs=1e-12)
    assert written["per_class"]["1"] == pytest.approx(expected["per_class"][1], abs=1e-12)
    assert written["per_class"]["1"]["tp"] == 20
    assert {p.name for p in tmp_path.iterdir()} == {"gt", "gt.json", "pred", "pred.json", "pq.json"}


def test_folders_may_be_given(tmp_path):
    gt, pred = example(tmp_path)
    for name in ("gt", "pred"):
        (tmp_path / name).rename(tmp_path / f"{name}_pngs")
    options = ("--gt_folder", tmp_path / "gt_pngs", "--pred_folder", tmp_path / "pred_pngs")
    assert "All       |  94.4" in run(gt, pred, *options).stdout
    assert "which does not exist" in run(gt, pred, code=2).stderr


def test_group_without_classes_is_not_available(tmp_path):
    stuff = [c for c in CATEGORIES if not c["isthing"]]
    ids = np.full((4, 4), 5)
    gt = write_side(tmp_path, "gt", [(ids, [segment(5, 9, 16)])], stuff)
    pred = write_side(tmp_path, "pred", [(ids, [segment(5, 9)])], stuff)
    result = run(gt, pred, "--out", tmp_path / "pq.json")
    assert "Things    |    not available        0\n" in result.stdout
    written = json.loads((tmp_path / "pq.json").read_text())
    assert written["Things"] == {"pq": None, "sq": None, "rq": None, "n": 0}
    assert written["All"] == written["Stuff"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_input_is_one_line_and_no_file(tmp_path, workers):
    gt, pred = example(tmp_path, images=20)
    edit(pred, lambda data: data["annotations"][13]["segments_info"].pop(0))
    out = tmp_path / "pq.json"
    result = run(gt, pred, "--out", out, "--workers", workers, code=2)
    assert result.stdout == ""
    assert result.stderr == (
        f"error: {tmp_path}/pred/013.png: ids [8] are in the map but not in segments_info\n"
    )
    assert not out.exists()


def test_what_does_not_count_is_told_behind_the_table(tmp_path):
    gt, pred = example(tmp_path, images=2)
    edit(gt, lambda data: data["annotations"].pop(0))
    edit(gt, lambda data: data["annotations"][0]["segments_info"].pop(0))
    first, second = run(gt, pred).stderr.splitlines()
    assert first.startswith(f"warning: {pred} has 1 predictions of images that {gt} does not")
    assert second.endswith("gt/001.png: ids 70000 are in the map but not in segments_info")
    os.mkfifo(tmp_path / "pipe.json")
    assert run(gt, tmp_path / "pipe.json", code=2).stderr == (
        f"error: {tmp_path}/pipe.json is a pipe, a device, a socket or a folder; wanted a file\n"
    )


def test_bad_options(tmp_path):
    gt, pred = example(tmp_path)
    result = run(gt, pred, "--workers", 0, code=2)
    assert "--workers must be at least 1, got 0" in result.stderr
    for out in (tmp_path / "nowhere/pq.json", tmp_path / "gt"):
        result = run(gt, pred, "--out", out, code=2)
        assert result.stderr == f"error: --out {out} must be a file in a folder that exists\n"


def test_file_is_complete_or_not_there(tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    gt, pred = example(tmp_path)
    before, out = set(tmp_path.iterdir()), tmp_path / "pq.json"
    out.write_text("old")
    arguments = ["--gt_json_file", gt, "--pred_json_file", pred, "--out", out, "--workers", 1]
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["evaluate_pq.py", *map(str, arguments)])
    line = mistake(capsys, runpy.run_path, str(TOOL), run_name="__main__")
    assert line == "error: no space left"
    assert set(tmp_path.iterdir()) == {*before, out}
    assert out.read_text() == "old"


def test_starts_without_a_framework(tmp_path):
    gt, pred = example(tmp_path)
    imported = run(gt, pred, "--workers", 1, python=("-X", "importtime")).stderr
    names = {line.split("|")[-1].strip().split(".")[0] for line in imported.splitlines()}
    assert {"numpy", "PIL", "rich"} <= names
    assert not names & {"torch", "mmengine", "mmcv", "mmseg", "mmdet", "cv2", "scipy"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokenProcessPool(), "error: a worker was killed, perhaps for want of memory; "),
        (KeyboardInterrupt(), 130),
    ],
)
def test_killed_worker_and_interrupt(tmp_path, monkeypatch, capsys, error, code):
    gt, pred = example(tmp_path)

    def fail(*args):
        raise error

    monkeypatch.setattr(evaluation, "count_in_processes", fail)
    monkeypatch.setattr("signal.signal", lambda *args: None)
    command = ["evaluate_pq.py", "--gt_json_file", str(gt), "--pred_json_file", str(pred)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(TOOL), run_name="__main__")
    if code == 130:
        assert (caught.value.code, capsys.readouterr().err) == (130, "")
    else:
        assert capsys.readouterr().err.startswith(code)


def test_inputs_and_devices_are_not_overwritten(tmp_path):
    gt, pred = example(tmp_path)
    before = gt.read_bytes()
    pngs = next(pred.with_suffix("").glob("*.png"))
    for target in (gt, pred, pngs, tmp_path):
        message = run(gt, pred, "--out", target, code=2).stderr
        assert message.startswith(f"error: --out {target} ")
        assert message.count("\n") == 1
    assert "must be a file" in run(gt, pred, "--out", "/dev/null", code=2).stderr
    assert gt.read_bytes() == before
