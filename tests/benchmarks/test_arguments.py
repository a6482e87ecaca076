"""Arguments of the measuring tools."""

import runpy
import sys

import pytest
import torch

from benchmarks.kit import inference, measure, scaling, stages
from benchmarks.kit.arguments import check_device
from tests.commands import mistake
from tests.conftest import ROOT

PROFILE, SCALING = "benchmarks/profile_step.py", "benchmarks/scaling.py"
INFERENCE, BENCHMARK = "benchmarks/inference.py", "tools/benchmark.py"
DATA = "benchmarks/data.py"


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (PROFILE, ["--size", "0", "64"], "argument --size: must be 1 or more, got 0"),
        (PROFILE, ["--test-size", "64", "-1"], "argument --test-size: must be 1 or more, got -1"),
        (PROFILE, ["--label-size", "0", "0"], "argument --label-size: must be 1 or more, got 0"),
        (PROFILE, ["--batch", "0"], "argument --batch: must be 1 or more, got 0"),
        (PROFILE, ["--warmup", "-1"], "argument --warmup: must be 0 or more, got -1"),
        (PROFILE, ["--repeats", "two"], "argument --repeats: invalid positive value: 'two'"),
        (BENCHMARK, ["a.py", "--size", "0", "64"], "argument --size: must be 1 or more, got 0"),
        (
            BENCHMARK,
            ["a.py", "--cfg-options", "a"],
            "--cfg-options must be KEY=VALUE, got 'a'",
        ),
        (
            BENCHMARK,
            ["a.py", "--cfg-options", "a=[{'b':(1,2)}]"],
            "--cfg-options a=[{'b':(1,2)}]: dicts cannot be given here; write a config",
        ),
        (SCALING, ["--at", "size"], "--at must be KEY=VALUE, got 'size'"),
        (BENCHMARK, ["a.py", "--repeats", "0"], "argument --repeats: must be 1 or more, got 0"),
        (SCALING, ["--sizes", "64", "0"], "argument --sizes: must be 1 or more, got 0"),
        (SCALING, ["--processes", "0"], "argument --processes: must be 1 or more, got 0"),
        (SCALING, ["--repeats", "0"], "argument --repeats: must be 1 or more, got 0"),
        (INFERENCE, ["--large", "0", "5"], "argument --large: must be 1 or more, got 0"),
        (INFERENCE, ["--classes", "0"], "argument --classes: must be 1 or more, got 0"),
    ],
)
def test_numbers_that_make_no_sense(tool, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(tool, run_name="__main__")
    assert exit_info.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.removesuffix(" (--help lists the options)").endswith(message)


@pytest.mark.parametrize("tool", [PROFILE, SCALING, INFERENCE, DATA])
def test_no_folder_no_measurement(tool, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    for module, name in (
        (stages, "profile"),
        (scaling, "measure"),
        (inference, "latency"),
        (measure, "seconds"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was measured"))
    monkeypatch.chdir(ROOT)
    arguments = ["none"] if tool == DATA else ["--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [tool, *arguments, "--out", str(tmp_path / "file")])
    line = mistake(capsys, runpy.run_path, tool, run_name="__main__")
    assert line == f"error: {tmp_path / 'file'} is a file; wanted a folder"


def test_devices(monkeypatch):
    check_device("cpu", "bf16")
    with pytest.raises(ValueError, match="--amp fp16 needs a GPU"):
        check_device("cpu", "fp16")
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        if there:
            check_device("cuda", "fp16")
        else:
            with pytest.raises(ValueError, match="--device cuda: there is no GPU here"):
                check_device("cuda")
