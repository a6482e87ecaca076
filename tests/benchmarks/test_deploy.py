"""benchmarks/deploy.py: what it compares, and what it writes."""

import json
import sys

import pytest

from benchmarks.kit.inference import FLOOR
from tests.commands import mistake

MODELS = ("--model", "maskformer_r18_shapes-panoptic", "--stock", "mmseg-maskformer_r18_camvid")


def call(monkeypatch, *arguments):
    from benchmarks import deploy

    monkeypatch.setattr(sys, "argv", ["deploy.py", *MODELS, *map(str, arguments)])
    return deploy


@pytest.mark.slow
def test_the_runner_stands_beside_the_model_and_mmseg(onnx_file, tmp_path, monkeypatch):
    sizes = ("--input", 64, 85, "--original", 96, 128, "--repeats", 1, "--warmup", 0)
    call(monkeypatch, "--file", onnx_file, *sizes, "--device", "cpu", "--out", tmp_path).main()
    results = json.loads((tmp_path / "deploy.json").read_text())["results"]
    assert set(results) == {"network", "labels"}
    assert set(results["network"]) == {"eager", "onnxruntime", FLOOR}
    for part in results.values():
        assert part[FLOOR]["floors"] == 1
    assert "onnxruntime and numpy" in results["labels"]
    assert "mmseg-maskformer_r18_camvid" in results["labels"]
    assert all(row["latency_s"] > 0 for part in results.values() for row in part.values())
    assert "64x85" in (tmp_path / "deploy.md").read_text()


def test_other_devices_are_refused(monkeypatch, capsys):
    from mmmaskformer.utils.command import run

    deploy = call(monkeypatch, "--device", "cuda")
    assert "--device cuda: the runner is measured on cpu" in mistake(capsys, run, deploy.main)
