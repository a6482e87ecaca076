"""tools/benchmark.py as a user runs it, on tiny images."""

import json
import re
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch

from benchmarks import benchmark
from benchmarks.kit import models, report, suite
from mmmaskformer.datasets import shapes
from tests.commands import cold, mistake, python
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

OURS = str(ROOT / "configs/maskformer_r18_shapes.py")
STOCK = str(ROOT / "configs/upernet_r18_shapes.py")
TINY = ["--size", "64", "64", "--repeats", "1", "--warmup", "0", "--segments", "3"]


def bench(*arguments, **options):
    return python("tools/benchmark.py", *arguments, **options)


def table_of(text):
    """Rows of the first table printed, by config."""
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    return {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    printed = bench(STOCK, OURS, *TINY, "--out", out)
    return printed, json.loads((out / "benchmark.json").read_text()), out


def test_the_table_is_the_json(measured):
    printed, run, out = measured
    assert list(run["results"]) == ["upernet_r18_shapes", "maskformer_r18_shapes"]
    others = ("mIoU", "aAcc", "PQ", "PQ_st", "floors")  # of tests, and of latency
    keys = [key for key in report.METRICS if key not in others]
    for name, values in run["results"].items():
        assert list(values) == [key for key in values if values[key] > 0]
        assert sorted(values) == sorted(keys)
        assert table_of(printed)[name] == [report.METRICS[k].form.format(values[k]) for k in keys]
    ours = run["results"]["maskformer_r18_shapes"]
    assert ours["parameters_m"] == pytest.approx(13.3, abs=0.05)
    # Weights, gradients and Adam's two moments, 4 bytes each, and activations.
    assert ours["train_memory_mb"] > 4 * 4 * ours["parameters_m"] * 1e6 / 2**20
    assert ours["train_memory_mb"] > ours["inference_memory_mb"] > 4 * ours["parameters_m"]
    parts = ("64x64", "training with 2", "3 segments", "fp32", "medians of 1 round; ", "1 thread")
    for part in (*parts, "torch 2"):
        assert part in run["title"]
    for suffix in ("md", "csv", "png"):
        assert (out / f"benchmark.{suffix}").stat().st_size > 100


def test_r50_has_41_million_parameters():
    config = str(ROOT / "configs/maskformer_r50_ade20k.py")
    settings = suite.Settings((32, 32), 1, 1, 150, 1, 0, "cpu")
    assert suite.complexity(config, settings)["parameters_m"] == pytest.approx(41.3, abs=0.05)


@pytest.mark.parametrize(("factor", "code"), [(0.5, 1), (2.0, 0)])
def test_the_guard_compares_ratios(measured, tmp_path, factor, code):
    """Against a run in which our share of the FLOPs was half, or twice, of what it is."""
    _, run, _ = measured
    run = json.loads(json.dumps(run))
    old = run["ratios"]["maskformer_r18_shapes"]
    ratio = old["gflops"]
    run["ratios"]["maskformer_r18_shapes"] = {"gflops": factor * ratio}
    (tmp_path / "old.json").write_text(json.dumps(run))
    printed = bench(
        STOCK, OURS, *TINY, "--metrics", "complexity", "--against", tmp_path / "old.json",
        ok=code == 0,
    )  # fmt: skip
    (line,) = (line for line in printed.splitlines() if f"{factor * ratio:.3f}" in line)
    assert f"{ratio:.3f}" in line
    assert f"{100 / factor - 100:+.1f} %" in line
    assert ("WORSE" in line) == bool(code)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run["settings"].update(batch=7), "was measured with batch 7, this run with 2"),
        (lambda run: run.update(reference="x"), "ratios to x, the first config here is upernet"),
        (lambda run: run["ratios"].update(x={"gflops": 1}), "that this run lacks: x$"),
        (
            lambda run: run["machine"].update(processor="x"),
            "with machine x, this run with an abacus",
        ),
        (None, r"old\.json is a file; wanted a folder"),
    ],
)
def test_what_is_in_vain_is_not_measured(change, message, measured, tmp_path, monkeypatch, capsys):
    """Neither runs that can not be compared, nor those that can not be written."""
    run, old = json.loads(json.dumps(measured[1])), tmp_path / "old.json"
    run["machine"]["processor"] = "an abacus"
    if change:
        change(run)
    old.write_text(json.dumps(run))
    monkeypatch.setattr(benchmark, "machine", lambda device: "an abacus")
    monkeypatch.setattr(suite, "measure", lambda *_: pytest.fail("it was measured"))
    arguments = [STOCK, OURS, *TINY, "--device", "cpu", "--against", str(old)]
    arguments += ["--out", str(tmp_path / "out" if change else old)]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments])
    line = mistake(capsys, runpy.run_path, str(ROOT / "tools/benchmark.py"), run_name="__main__")
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_classes_of_all_models(tmp_path):
    mmsegs = ROOT / "configs/mmseg-maskformer_r18_camvid.py"
    bench(
        mmsegs, OURS, *TINY, "--num-classes", 40, "--segments", 30, "--metrics", "train",
        "--out", tmp_path,
    )  # fmt: skip
    run = json.loads((tmp_path / "benchmark.json").read_text())
    assert run["settings"]["label_classes"] == 40
    assert set(run["results"]["maskformer_r18_shapes"]) == {"train_step_s", "train_memory_mb"}


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A tiny dataset, and checkpoints of models that see the most frequent class everywhere."""
    folder = tmp_path_factory.mktemp("eval")
    patch = pytest.MonkeyPatch()
    patch.setattr(shapes, "SPLITS", {"train": 2, "val": 2})
    shapes.make_shapes(folder / "shapes")
    patch.undo()
    files = sorted((folder / "shapes/annotations/val").glob("*.png"))
    labels = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED).ravel() for file in files]
    frequent = np.bincount(np.concatenate(labels), minlength=256)[:10].argmax()
    for config, name, bias in (
        (STOCK, "stock", "decode_head.conv_seg.bias"),
        (OURS, "ours", "decode_head.predictor.class_embed.bias"),
    ):
        weights = models.build(models.load_config(config), "cpu").state_dict()
        weights[bias][frequent] = 50
        torch.save({"state_dict": weights}, folder / f"{name}.pth")
    return folder


def test_accuracy_is_that_of_the_test_tool(tested, tmp_path):
    data = f"test_dataloader.dataset.data_root={tested / 'shapes'}"
    checkpoints = [tested / "stock.pth", tested / "ours.pth"]
    bench(
        STOCK, OURS, *TINY, "--metrics", "complexity", "--eval", "--checkpoints", *checkpoints,
        "--cfg-options", data, "--out", tmp_path,
    )  # fmt: skip
    results = json.loads((tmp_path / "benchmark.json").read_text())["results"]
    command = ["tools/test.py", OURS, checkpoints[1], "--work-dir", tmp_path / "test"]
    python(*command, "--cfg-options", data)
    (log,) = (tmp_path / "test").glob("*/*.json")
    expected = json.loads(log.read_text())
    for key in ("mIoU", "aAcc", "PQ_st"):
        ours = results["maskformer_r18_shapes"][key]
        assert ours == pytest.approx(expected[key], abs=0.01)
        # Both models say the same.
        assert results["upernet_r18_shapes"][key] == pytest.approx(ours)
        assert 0 < ours < 100 or key == "PQ_st"  # no IoU above one half, perhaps


def test_a_checkpoint_of_another_model(tested):
    data = f"test_dataloader.dataset.data_root={tested / 'shapes'}"
    printed = bench(
        STOCK, *TINY, "--eval", "--checkpoints", tested / "ours.pth", "--cfg-options", data,
        ok=False,
    )  # fmt: skip
    last = printed.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "does not fit the config" in last


DET = str(ROOT / "configs/maskformer_r18_shapes-panoptic-mmdet.py")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configs/none.py"], r"config configs/none\.py does not exist"),
        (["mmseg::upernet/none.py"], r"config mmseg::upernet/none\.py: "),
        (
            [OURS, "--cfg-options", "default_scope=mmpretrain"],
            "shapes.py: default_scope",
        ),
        ([OURS, DET], "configs of one run must be of one framework, got mmseg and mmdet"),
        ([DET, "--num-classes", "5"], "config .*-mmdet.py: --num-classes is for models of mmseg"),
        ([DET, "--eval", "--checkpoints", "a.pth"], "--eval is for configs of mmseg"),
        ([DET, "--segments", "11", *TINY[:7]], r"segments must be 1\.\.10, .* got 11"),
        (
            ["mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py", DET],
            "config .*-mmdet.py: the same classes must be things in all configs; in the first 80 "
            "of 133, here 5 of 10",
        ),
        (
            ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"],
            r"config .*/faster-rcnn_r50_fpn_1x_coco\.py: a model of mmdet must be panoptic",
        ),
        (
            [DET, "--cfg-options", "model.decode_head.isthing=x"],
            "config .*-mmdet.py: isthing='x': no registered dataset",
        ),
        ([OURS, "--metrics", "speed"], "--metrics must be of complexity, train, .* got 'speed'"),
        ([OURS, OURS], "configs must have different names"),
        ([OURS, "--amp", "fp16", "--device", "cpu"], "--amp fp16 needs a GPU"),
        ([OURS, "--eval"], "--eval and --checkpoints go together"),
        ([OURS, "--checkpoints", "a.pth"], "--eval and --checkpoints go together"),
        (
            [OURS, STOCK, "--eval", "--checkpoints", "a.pth"],
            "--checkpoints must be one per config, 2, got 1",
        ),
        ([OURS, "--eval", "--checkpoints", "a.pth"], r"checkpoint a\.pth does not exist"),
        ([OURS, "--against", "none.json"], "--against compares ratios .*: give two configs or"),
        ([OURS, STOCK, "--against", "none.json"], r"none\.json does not exist"),
        ([OURS, "--segments", "11", *TINY[:7]], r"segments must be 1\.\.10, .* got 11"),
        (
            [OURS, "--cfg-options", "model.decode_head.num_querys=1"],
            r"maskformer_r18_shapes\.py: .* takes no 'num_querys'; did you mean 'num_queries'",
        ),
        ([OURS, "--cfg-options", "model.decode_head.0.a=1"], "model.decode_head: .* no '0'"),
        ([OURS, "--cfg-options", "foo.bar=1"], "--cfg-options foo.bar: nothing reads 'foo'"),
    ],
)
def test_mistakes_name_themselves(arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments])
    line = mistake(capsys, runpy.run_path, "tools/benchmark.py", run_name="__main__")
    assert re.search(message, line)


def test_the_pq_benchmark_measures_both(coco):
    printed = cold(
        "benchmarks/pq.py", coco / "annotations/panoptic_val2017.json", "--gt_folder",
        coco / "panoptic_val2017", "--images", "2", "--repeats", "1",
    )  # fmt: skip
    rows = table_of(printed)
    assert len(rows) == 4
    for name in ("in memory: ours", "in memory: plain", "with files: ours"):
        assert all(float(cell) > 0 for cell in rows[name])
    assert rows["in memory: plain"][2] == rows["with files: decoding alone"][2] == "1.00"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "truth/one.png"),
        ({"segments_info": None}, "truth.json: annotation 0 has no 'segments_info'"),
    ],
)
def test_the_pq_benchmark_names_the_file_that_is_wrong(change, message, tmp_path):
    truth = tmp_path / "truth.json"
    annotation = {"image_id": 1, "file_name": "one.png", "segments_info": [], **change}
    category = {"id": 1, "name": "a", "isthing": 1}
    truth.write_text(json.dumps({"annotations": [annotation], "categories": [category]}))
    (line,) = python("benchmarks/pq.py", truth, ok=False).splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.slow
def test_a_model_that_can_not_learn_from_the_batch():
    """UperNet's pooling needs more than one value per channel. A process that starts from nothing,
    and one that it spawns."""
    command = "tools/benchmark.py", STOCK, *TINY, "--batch", "1", "--metrics", "train"
    printed = cold(*command, ok=False)
    assert re.search(
        r"^error: config .*upernet_r18_shapes\.py: ValueError: Expected more than 1 value",
        printed.strip().splitlines()[-1],
    )
