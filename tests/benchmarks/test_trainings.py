"""The tables of finished trainings, from folders as mmengine leaves them."""

import argparse
import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import compare, trainings
from benchmarks.kit import runs, trained
from benchmarks.kit.studies import read_studies
from mmmaskformer.engine.runner import add_config_options, load_config
from mmmaskformer.utils.command import run
from tests.benchmarks.conftest import TEST_LOG
from tests.commands import mistake
from tests.conftest import ROOT


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
    assert (run["steps"], run["step_s"]) == (60, 1.0)
    assert run["minutes"] == 13.0  # 2.5 of the first process and 10.5 of the second
    assert run["peak_mb"] is None  # the first process is not in it
    assert (run["device"], run["torch"]) == ("CPU", "2.13.0+cpu")
    assert set(run["logs"]) == {"1/1.log", "2/2.log", "test_test/3/3.log"}
    assert run["logs"]["test_test/3/3.log"] == hashlib.sha256(TEST_LOG.encode()).hexdigest()


def test_the_peak_of_a_run_of_one_process_is_kept(work_dir):
    folder = work_dir / "camvid/MaskFormer-seed0"
    (folder / "1/1.log").unlink()
    assert runs.read_run(folder)["peak_mb"] == 900


@pytest.mark.parametrize(
    ("lines", "device", "peak"),
    [
        (["GPU 0: NVIDIA H100"] * 2, "NVIDIA H100", 700),
        (["GPU 0,1: V100\n    GPU 2: T4"] * 2, "2 x V100 + T4", 700),
        (["x", "GPU 0: NVIDIA H100"], "CPU, NVIDIA H100", None),
    ],
)
def test_a_run_names_its_gpus_and_has_the_peak_of_their_memory(work_dir, lines, device, peak):
    folder = work_dir / "camvid/MaskFormer-seed1"
    for part, line, memory in zip("12", lines, (700, 600), strict=True):
        log, scalars = folder / f"{part}/{part}.log", folder / part / "vis_data/scalars.json"
        log.write_text(log.read_text().replace("    PyTorch", f"    {line}\n    PyTorch"))
        if "GPU" in line:  # mmengine logs no memory of a CPU
            text = scalars.read_text().replace('"time": ', f'"memory": {memory}, "time": ')
            scalars.write_text(text)
    run = runs.read_run(folder)
    assert (run["device"], run["peak_mb"]) == (device, peak)


def test_the_costs_of_different_devices_are_not_mixed(work_dir):
    studies = [s for s in trainings.read_studies() if s["study"] == "camvid"]
    found = trainings.collect(work_dir, studies)["trainings"]
    header, rows = trained.table([found[0], {**found[1], "device": "T4", "steps": 80}])
    assert dict(zip(header, rows[0], strict=True))["device"] == "CPU, T4"
    assert dict(zip(header, rows[0], strict=True))["steps"] == "60, 80"
    assert rows[0][-3:] == ["-"] * 3


def test_quality_of_stuff_and_of_all_classes_have_different_names():
    semantic, panoptic = dict(mIoU=50.123, PQ_st=40.0), dict(mIoU=math.nan, PQ=30.0, PQ_st=60.0)
    assert runs.kept(semantic) == {"mIoU": 50.12, "PQ_st": 40.0}
    assert runs.kept(panoptic) == {"PQ": 30.0, "PQ_stuff": 60.0}


def test_a_row_is_the_mean_of_its_seeds_and_half_their_distance(work_dir):
    studies = [s for s in trainings.read_studies() if s["study"] == "camvid"]
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
        "device": "CPU",
        "s / step": "1.00",
        "minutes": "13",
        "peak MB": "-",
    }


def test_the_report_writes_numbers_and_curves(work_dir, tmp_path, monkeypatch, capsys):
    out = tmp_path / "report"  # the default
    arguments = ["--work-dir", work_dir, "report"]
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
    added = ["--work-dir", tmp_path / "empty", "report", "--add", out / "trained.json"]
    monkeypatch.setattr(sys, "argv", ["trainings", *map(str, added)])
    trainings.main()
    assert json.loads((tmp_path / "empty/report/trained.json").read_text()) == content


def test_every_row_names_a_config_and_folders_differ(tmp_path):
    found = list(trainings.trainings(trainings.read_studies()))
    assert not [t for t in found if not (ROOT / f"configs/{t.config}.py").is_file()]
    assert len({t.folder(tmp_path) for t in found}) == len(found)
    for study in trainings.read_studies():
        assert all(study["rows"][row]["tests"] for row in study.get("examples", ()))


CONTENT = {
    "claims": {"wins": dict(claim="A wins", paper="+1", higher=["A"], lower=["B"], metric="mIoU")},
    "kinds of tests": {"m.s.": ["--aug-test"]},
    "studies": [
        dict(
            study="s",
            seeds=[0, 1],
            options=["a.b=1"],
            tests=["test"],
            rows={
                "A": dict(config="a", options=["c=2"], tests=["test, m.s."]),
                "B": dict(config="b", seeds=[2, 1]),
            },
            claims={"wins": ["val", "test"]},
        )
    ],
}


@pytest.fixture
def studies(tmp_path):
    (tmp_path / "studies.json").write_text(json.dumps(CONTENT))
    return read_studies(tmp_path / "studies.json")


def test_a_row_adds_seeds_tests_and_options_to_those_of_its_study(studies):
    found = list(trainings.trainings(studies))
    assert [(t.row, t.seed) for t in found] == [("A", 0), ("A", 1), ("B", 1), ("B", 2)]
    assert found[0].options == ("a.b=1", "c=2")
    assert found[0].tests == {"test": [], "test, m.s.": ["--aug-test"]}
    assert (found[2].options, found[2].tests) == (("a.b=1",), {"test": []})
    assert studies[0]["claims"] == [{**CONTENT["claims"]["wins"], "splits": ["val", "test"]}]


@pytest.fixture
def commands(monkeypatch):
    """The commands that are run instead of tools; a training leaves a checkpoint."""
    found = []

    def follow(command):
        found.append([str(word) for word in command])
        folder = Path(found[-1][found[-1].index("--work-dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        if "train" in command[0]:
            (folder / "last_checkpoint").write_text("iter_2.pth")
        return 901.4

    monkeypatch.setattr(trainings, "follow", follow)
    return found


def test_a_training_is_trained_and_tested_once(studies, tmp_path, commands):
    training = next(trainings.trainings(studies))
    folder = training.folder(tmp_path)
    trainings.train_and_test(training, folder)
    begin = ["configs/a.py", "--work-dir", str(folder), "--amp", "--resume", "--cfg-options"]
    assert commands[0] == [
        "tools/train.py",
        *begin,
        "randomness.seed=0",
        "optim_wrapper.dtype=bfloat16",
        "a.b=1",
        "c=2",
    ]
    for command, name, further in [
        (commands[1], "test_test", []),
        (commands[2], "test_test__m_s_", ["--aug-test"]),
    ]:
        out = ["--work-dir", f"{folder}/{name}", "--out", f"{folder}/{name}/predictions"]
        begin = ["tools/test.py", "configs/a.py", f"{folder}/iter_2.pth"]
        assert command == [*begin, *out, *further, "--cfg-options", "a.b=1", "c=2"]
    assert len(commands) == 3
    assert json.loads((folder / runs.MEMORY).read_text()) == {"peak_mb": 901}
    trainings.train_and_test(training, folder)
    assert len(commands) == 3
    (folder / "test_test" / runs.TESTED).unlink()  # as if this test had been killed
    trainings.train_and_test(training, folder)
    assert [command[6] for command in commands[3:]] == [f"{folder}/test_test/predictions"]


def test_a_failed_training_is_not_taken_for_done(studies, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "ROOT", tmp_path)  # there is no tools/train.py
    training = next(trainings.trainings(studies))
    with pytest.raises(ValueError, match=r"tools/train\.py ended with exit code 2"):
        trainings.train_and_test(training, training.folder(tmp_path))
    assert not (training.folder(tmp_path) / runs.MEMORY).exists()


def test_examples_wait_for_all_tests(studies, tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(trainings.examples, "draw", lambda *arguments: drawn.append(arguments))
    study = dict(studies[0], title="Study", examples=["A"])
    args = argparse.Namespace(work_dir=tmp_path, out=tmp_path / "out")
    folder = next(trainings.trainings(studies)).folder(tmp_path) / "test_test"
    (folder / "predictions").mkdir(parents=True)  # this test is still going on
    trainings.draw_examples(study, args)
    assert not capsys.readouterr().out  # nor is it trained
    (folder.parent / runs.MEMORY).write_text("{}")
    trainings.draw_examples(study, args)
    assert not drawn
    assert "no picture of examples, as --work-dir has no test of ['A']" in capsys.readouterr().out
    (folder / runs.TESTED).write_text("test")
    trainings.draw_examples(study, args)
    picture = tmp_path / "out/examples-s.png"
    assert drawn == [(ROOT / "configs/a.py", {"A": folder / "predictions"}, picture)]


def test_options_of_every_row_fit_its_config():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    add_config_options(parser)
    found = trainings.trainings(trainings.read_studies())
    for config, options in sorted({(t.config, t.options) for t in found if t.options}):
        load_config(
            parser.parse_args([str(ROOT / f"configs/{config}.py"), "--cfg-options", *options])
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "camvid", "--row", "SegNet"], "there is no training of study 'camvid', row 'Seg"),
        (["--work-dir", "none", "report"], "none: there is no finished training of a study"),
    ],
)
def test_mistakes_name_themselves(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trainings.py", *arguments])
    assert message in mistake(capsys, run, trainings.main)


def test_the_command_starts_in_a_process_of_its_own():
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.trainings"]
    listed = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    assert listed.splitlines()[0].split("\t")[:3] == ["camvid", "MaskFormer", "0"]
