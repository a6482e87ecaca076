"""The table of all benchmarks."""

import json
import runpy
import sys

import pytest

from benchmarks.kit import summary
from tests.commands import mistake
from tests.conftest import ROOT

STAGES = {
    "mask logits": 10.0,
    "targets": 20.0,
    "matching: costs": 30.0,
    "matching: copy": 5.0,
    "matching: assignment on host": 5.0,
    "mask losses": 15.0,
    "class loss": 5.0,
    "backward: losses, mask logits": 10.0,
}
"""Together 100 ms."""


def profile_of(plain, whole, factor):
    stages = {name: factor * time for name, time in STAGES.items()} | {"backbone": 1.0}
    return {"plain": plain, "whole": whole, "stages": stages, "rest": 0.0}


def inference_of(plain):
    return {"plain": plain, "whole": plain, "stages": {}, "rest": 0.0}


RUNS = {
    "profile/profile": {
        "title": "on an abacus",
        "results": {
            "training": {
                "ours": profile_of(2000.0, 2500.0, 3),
                "mmseg": profile_of(4000.0, 4000.0, 10),
                "transformers": profile_of(3200.0, 3200.0, 8),
            },
            "inference": {"ours": inference_of(60.0), "mmseg": inference_of(120.0)},
        },
    },
    "scaling/scaling": {
        "title": "on two abaci",
        "results": [
            dict(factor="segments", value=10, config="maskformer_r50_ade20k",
                 train_step_s=2.0, train_memory_mb=1500.0),
            dict(factor="segments", value=10, config="mmseg-maskformer_r50_ade20k",
                 train_step_s=4.0, train_memory_mb=None),
            dict(factor="size", value=256, config="maskformer_r50_ade20k",
                 train_step_s=1.0, train_memory_mb=500.0),
        ],
        "growth": [
            dict(factor="segments", config="maskformer_r50_ade20k", metric="train_step_s", b=0.02),
            dict(factor="segments", config="mmseg-maskformer_r50_ade20k", metric="train_step_s",
                 b=0.1),
        ],
    },
    "inference/inference": {
        "title": "beads",
        "settings": {"classes": 847},
        "results": {
            "latency": {
                "maskformer_r50_ade20k, labels only": {"latency_s": 0.5},
                "maskformer_r50_ade20k, with score maps": {"latency_s": 0.9},
                "mmseg-maskformer_r50_ade20k": {"latency_s": 1.2},
            },
            "labels": {
                "labels in bands": {"latency_s": 2.0, "inference_memory_mb": 100.0},
                "argmax of score maps": {"latency_s": 5.0},
            },
            "panoptic": {
                "our fusion": {"latency_s": 0.1}, "loop over queries": {"latency_s": 0.8},
            },
        },
    },
    "detectors/benchmark": {
        "title": "more beads",
        "results": {
            "maskformer_r50_ms-16xb1-75e_coco": {"train_step_s": 8.0, "latency_s": 2.0},
            "maskformer_r50_coco-panoptic-mmdet": {"train_step_s": 2.0, "latency_s": 1.0},
        },
    },
    "data/data-panoptic": {
        "title": "photographs",
        "task": "panoptic",
        "milliseconds": {"fixed": {"ours": 8.0, "mmdet": 16.0}},
    },
}  # fmt: skip

EXPECTED = [
    ["training step, s", "2.00", "4.00 (0.50)", "-", "3.20 (0.62)", "-"],
    ["matching and losses together, s", "0.300", "1.00 (0.30)", "-", "0.800 (0.37)", "-"],
    ["... of the step, %", "12.0", "25.0 (0.48)", "-", "25.0 (0.48)", "-"],
    ["inference to labels, s", "0.0600", "0.120 (0.50)", "-", "-", "-"],
    ["10 segments: step, s", "2.00", "4.00 (0.50)", "-", "-", "-"],
    ["per 10 segments more: step, s", "0.200", "1.00 (0.20)", "-", "-", "-"],
    ["inference to score maps, s", "0.900", "1.20 (0.75)", "-", "-", "-"],
    ["labels of 847 classes, s", "2.00", "-", "-", "-", "5.00 (0.40)"],
    ["panoptic fusion, s", "0.100", "-", "-", "-", "0.800 (0.12)"],
    ["panoptic training step, s", "2.00", "-", "8.00 (0.25)", "-", "-"],
    ["panoptic inference, s", "1.00", "-", "2.00 (0.50)", "-", "-"],
    ["panoptic data, fixed: ms an image", "8.00", "-", "16.0 (0.50)", "-", "-"],
]


@pytest.fixture
def folder(tmp_path):
    for name, run in RUNS.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(run))
    return tmp_path


def call(monkeypatch, folder):
    monkeypatch.setattr(sys, "argv", ["benchmark_summary.py", str(folder)])
    runpy.run_path(str(ROOT / "benchmarks/summary.py"), run_name="__main__")


def test_every_line_is_ours_and_what_it_is_compared_with(folder):
    header, table = summary.cells(summary.read(folder)[0])
    others = ("mmseg", "mmdet", "transformers", "plain way")
    assert header == ["", "ours", *(f"{name} (ours / it)" for name in others)]
    assert table == EXPECTED


def test_the_tool_names_what_was_measured_where(folder, monkeypatch, capsys):
    call(monkeypatch, folder)
    text = (folder / "summary.md").read_text()
    for expected in EXPECTED:
        assert "| " + " | ".join(expected) + " |" in text
    for name, run in RUNS.items():
        assert f"* {name}: {run['title']}" in text
    assert "* data/data-semantic: not measured" in text
    printed = capsys.readouterr().out
    assert "matching and losses together, s" in printed
    assert "profile/profile: on an abacus" in printed


def test_no_benchmark_at_all(tmp_path, monkeypatch, capsys):
    line = mistake(capsys, call, monkeypatch, tmp_path)
    assert line.startswith(f"error: {tmp_path} holds no benchmark; wanted")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"title": "x", "results": 3}'])
def test_a_file_that_is_no_run(folder, monkeypatch, capsys, text):
    path = folder / "profile/profile.json"
    path.write_text(text)
    line = mistake(capsys, call, monkeypatch, folder)
    assert line.startswith(f"error: {path} is not a run of its benchmark")
    assert not (folder / "summary.md").exists()
