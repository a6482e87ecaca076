import importlib.util
import json
import sys

import cv2
import numpy as np
import pytest

from mmmaskformer.utils import command
from tests.commands import mistake
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def run(monkeypatch, capsys):
    """The tool; its two rows as lists of cells."""
    for name in ("panopticapi", "panopticapi.utils"):  # put back afterwards
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks/data.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def call(*arguments):
        line = ["bench", *map(str, arguments), "--images", "2", "--rounds", "1"]
        monkeypatch.setattr(sys, "argv", line)
        command.run(tool.main)
        printed = capsys.readouterr().out
        assert ("mmseg, images/s" if "semantic" in arguments else "mmdet, images/s") in printed
        return [
            [cell.strip() for cell in line.split("│")[1:-1]]
            for line in printed.splitlines()
            if line.startswith(("│ fixed", "│ recipe"))
        ]

    return call


def test_benchmark_measures_both_pipelines(coco, run):
    fixed, recipe = run(coco, "--split", "train2017")
    for row in (fixed, recipe):
        assert all(float(cell) > 0 for cell in row[1:4])
    ours, theirs = fixed[4].split(" / ")
    assert ours == theirs


def test_what_is_written_is_what_is_printed(coco, run, tmp_path):
    printed = run(coco, "--split", "train2017", "--out", tmp_path)
    written = json.loads((tmp_path / "data-panoptic.json").read_text())
    assert list(written["milliseconds"]) == ["fixed", "recipe"]
    for row, times in zip(printed, written["milliseconds"].values(), strict=True):
        assert [f"{1000 / times[name]:.1f}" for name in ("ours", "mmdet")] == row[1:3]
    assert f"| fixed | {printed[0][1]} |" in (tmp_path / "data-panoptic.md").read_text()


def test_semantic_pipelines(tmp_path, run):
    for folder in ("images", "annotations"):
        (tmp_path / folder / "val").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 150, (100, 200, 3), np.uint8)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"images/val/{name}.jpg"), noise)
        cv2.imwrite(str(tmp_path / f"annotations/val/{name}.png"), noise[..., 0])
    fixed, recipe = run(tmp_path, "--task", "semantic", "--split", "val")
    for row in (fixed, recipe):
        assert all(float(cell) > 0 for cell in row[1:4])
    assert fixed[4] == "0.52 / 0.52"  # 512x1024
    assert recipe[4].split(" / ")[0] == "0.26"  # 512x512, padded if it must be


def test_a_folder_without_images(tmp_path, run, capsys):
    line = mistake(capsys, run, tmp_path, "--task", "semantic")
    assert line == f"error: {tmp_path / 'images/training'} must hold images, *.jpg"
