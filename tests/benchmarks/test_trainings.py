"""The tables of finished trainings, from folders as mmengine leaves them."""

import argparse
import hashlib
import json
import subprocess
import sys

import pytest

from benchmarks import compare, trainings
from benchmarks.kit import runs, trained
from mmmaskformer.engine.runner import add_config_options, load_config
from mmmaskformer.utils.command import run
from tests.commands import mistake
from tests.conftest import ROOT

LOG = """\
    PyTorch: 2.13.0+cpu
|  Class | IoU  | Acc  |
|  sky   | 10.0 | 20.0 |
| a road | {iou} | nan  |
"""
TEST_LOG = """\
|  Class | IoU  | Acc  |
|  sky   | 44.0 | 20.0 |
"""


def entry(step, **values):
    return json.dumps(dict(step=step, **values)) + "\n"


@pytest.fixture
def work_dir(tmp_path):
    """Two seeds of one row, the first one of them killed after step 40 and resumed from 20."""
    for seed, iou in enumerate((60.0, 62.0)):
        folder = tmp_path / f"camvid/MaskFormer-seed{seed}"
        first, second = folder / "1/vis_data", folder / "2/vis_data"
        for path in (first, second):
            path.mkdir(parents=True)
        lines = entry(20, loss=4.0, time=1.0) + entry(40, loss=3.5, time=9.0)
        (first / "scalars.json").write_text(lines + '{"half": ')
        lines = entry(40, loss=3.0, time=2.0) + entry(60, loss=2.0, time=2.0)
        lines += entry(60, mIoU=iou, aAcc=90.0, PQ_st=50.0 + seed, data_time=0.1)
        (second / "scalars.json").write_text(lines)
        (folder / "1/1.log").write_text(LOG.format(iou="1.0"))
        (folder / "2/2.log").write_text(LOG.format(iou=f"{iou}"))
        (folder / runs.MEMORY).write_text(json.dumps({"peak_mb": 900 + seed}))
    test = folder / "test_test/3"
    test.mkdir(parents=True)
    (test / "3.json").write_text(json.dumps({"mIoU": 55.558, "aAcc": 88.0, "time": 1.0}))
    (test / "3.log").write_text(TEST_LOG)
    (test.parent / "test.txt").write_text("test")
    return tmp_path


def test_a_run_holds_what_its_files_say(work_dir):
    folder = work_dir / "camvid/MaskFormer-seed1"
    run = runs.read_run(folder)
    assert run["metrics"] == {
        "val": {"mIoU": 62.0, "aAcc": 90.0, "PQ_st": 51.0},
        "test": {"mIoU": 55.56, "aAcc": 88.0},
    }
    assert run["classes"] == {"val": {"sky": 10.0, "a road": 62.0}, "test": {"sky": 44.0}}
    assert run["loss"] == [[20, 4.0], [40, 3.0], [60, 2.0]]  # of step 40, the second time counts
    assert run["curve"] == [[60, 62.0]]
    assert (run["steps"], run["step_s"], run["peak_mb"]) == (60, 1.0, 901)
    assert run["minutes"] == round(20 * (1 + 2 + 2) / 60, 1)
    assert run["torch"] == "2.13.0+cpu"
    assert set(run["logs"]) == {"1/1.log", "2/2.log", "test_test/3/3.log"}
    assert run["logs"]["test_test/3/3.log"] == hashlib.sha256(TEST_LOG.encode()).hexdigest()


def test_a_row_is_the_mean_of_its_seeds_and_half_their_distance(work_dir):
    studies = [s for s in trainings.read_json(trainings.STUDIES) if s["study"] == "camvid"]
    found = trainings.collect(work_dir, studies)["trainings"]
    assert [(t["row"], t["seed"]) for t in found] == [("MaskFormer", 0), ("MaskFormer", 1)]
    header, rows = trained.table(found)
    assert dict(zip(header, rows[0], strict=True)) == {
        "model": "MaskFormer",
        "config": "`maskformer_efflite0_camvid`",
        "seeds": "2",
        "mIoU val": "61.0 ±1.0",
        "aAcc val": "90.0 ±0.0",
        "PQ_st val": "50.5 ±0.5",
        "mIoU test": "55.6",
        "aAcc test": "88.0",
        "steps": "60",
        "s / step": "1.00",
        "peak MB": "901",
    }


def test_the_report_writes_numbers_and_curves(work_dir, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = ["--work-dir", work_dir, "report", "--out", out]
    monkeypatch.setattr(sys, "argv", ["trainings", *map(str, arguments)])
    trainings.main()
    content = json.loads((out / "trained.json").read_text())
    assert [t["metrics"]["val"]["mIoU"] for t in content["trainings"]] == [60.0, 62.0]
    assert (out / "curves-camvid.png").stat().st_size > 5000
    assert "61.0 ±1.0" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["compare.py", str(out / "trained.json")])
    compare.main()
    shown = capsys.readouterr().out
    assert "CamVid, 11 classes" in shown
    assert "61.0 ±1.0" in shown


def test_every_row_names_a_config_and_folders_differ(tmp_path):
    found = list(trainings.trainings(trainings.read_json(trainings.STUDIES)))
    assert not [t for t in found if not (ROOT / f"configs/{t.config}.py").is_file()]
    assert len({t.folder(tmp_path) for t in found}) == len(found)


def test_a_row_may_have_seeds_of_its_own():
    rows = {"A": dict(config="a"), "B": dict(config="b", seeds=[1])}
    found = trainings.trainings([dict(study="s", seeds=[0, 1], tests={}, rows=rows)])
    assert [(t.row, t.seed) for t in found] == [("A", 0), ("A", 1), ("B", 1)]


def test_options_of_every_row_fit_its_config():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    add_config_options(parser)
    found = trainings.trainings(trainings.read_json(trainings.STUDIES))
    for config, options in sorted({(t.config, t.options) for t in found if t.options}):
        load_config(
            parser.parse_args([str(ROOT / f"configs/{config}.py"), "--cfg-options", *options])
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "camvid", "--row", "SegNet"], "there is no training of study 'camvid', row 'Seg"),
        (["--work-dir", "none", "report"], "none holds no finished training of a study"),
    ],
)
def test_mistakes_name_themselves(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trainings.py", *arguments])
    assert message in mistake(capsys, run, trainings.main)


def test_the_command_starts_in_a_process_of_its_own():
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.trainings"]
    listed = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    assert listed.splitlines()[0].split("\t")[:3] == ["camvid", "MaskFormer", "0"]
