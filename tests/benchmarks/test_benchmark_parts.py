"""benchmarks/scaling.py and benchmarks/inference.py as a user runs them."""

import json
import re
import runpy
import sys

import pytest
import torch

from benchmarks.kit import inference, models, report, scaling, suite
from tests.commands import mistake, python
from tests.conftest import ROOT, import_transformers

pytestmark = pytest.mark.slow

OURS = str(ROOT / "configs/maskformer_r18_shapes.py")
POINT = ["--at", "size=64", "classes=10", "queries=20", "segments=3"]
ONCE = ["--repeats", "1", "--warmup", "0"]


def rows_of(text):
    """All rows of all tables printed, by their first cell."""
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.slow
def test_scaling_prints_what_it_writes(tmp_path):
    printed = python(
        "benchmarks/scaling.py", OURS, *POINT, *ONCE, "--factors", "queries",
        "--queries", "5", "300", "--processes", "2", "1", "--out", tmp_path,
    )  # fmt: skip
    run = json.loads((tmp_path / "scaling.json").read_text())
    assert run["at"] == dict(size=64, batch=2, segments=3, classes=10, queries=20)
    assert run["title"].startswith(
        "A training step around size 64, batch 2, segments 3, classes 10, queries 20; fp32; "
    )
    assert [row["value"] for row in run["results"]] == [5, 300]
    rows = rows_of(printed)
    for row in run["results"]:
        cells = [f"{row['train_step_s']:.3f}", f"{row['train_memory_mb']:.0f}"]
        assert rows[f"queries {row['value']}"] == cells
        # Weights, gradients and Adam's two moments, 4 bytes each.
        assert row["train_memory_mb"] > 4 * 4 * 13e6 / 2**20
    texts = [growth["text"] for growth in run["growth"]]
    assert rows["queries"] == texts
    assert all(re.fullmatch(r"[+-]\d+\.\d % per 100 queries", text) for text in texts)
    one, two = run["processes"]["maskformer_r18_shapes"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["efficiency"] == pytest.approx(two["images_per_s"] / one["images_per_s"] / 2)
    assert rows["2"] == [f"{two['images_per_s']:.3f}", f"{100 * two['efficiency']:.1f} %"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"scaling.{suffix}" for suffix in ("json", "md", "png")
    ]


def test_every_factor_changes_the_model_or_the_batch(monkeypatch):
    """The settings reach the model: number of queries and classes, labels, images."""
    base = suite.Settings(
        (64, 64), 2, 3, 10, 1, 0, "cpu", options={scaling.QUERIES: 20}, num_classes=10
    )
    seen = []

    def step(model, optimizer, images, samples, amp):
        predictor = model.decode_head.predictor
        labels = {len(sample.gt_sem_seg.data.unique()) for sample in samples}
        seen.append((predictor, images.shape, labels))
        return lambda: None

    monkeypatch.setattr(models, "training_step", step)
    chosen = {"size": [96], "segments": [1], "classes": [5], "queries": [7], "batch": [3]}
    points = scaling.grid(base, chosen)
    cells = {(f, OURS): point for f, values in points.items() for point in values.values()}
    assert scaling.prepare_steps(cells).keys() == cells.keys()
    size, segments, classes, queries, batch = seen
    assert size[0] is segments[0] is batch[0]
    assert size[1] == (2, 3, 96, 96)
    assert segments[2] == {1}
    assert size[2] == {3}
    assert batch[1] == (3, 3, 64, 64)
    widths = [one[0].class_embed.weight.shape[0] for one in (size, classes, queries)]
    assert widths == [11, 6, 11]
    counts = [one[0].query_embed.num_embeddings for one in (size, classes, queries)]
    assert counts == [20, 20, 7]


@pytest.mark.slow
def test_inference_prints_what_it_writes(tmp_path):
    others = [
        ROOT / f"configs/{n}.py" for n in ("mmseg-maskformer_r18_camvid", "upernet_r18_shapes")
    ]
    printed = python(
        "benchmarks/inference.py", OURS, *others, *ONCE, "--input", "64", "85",
        "--original", "96", "128", "--large", "120", "180", "--classes", "20",
        "--panoptic", "80", "133", "--out", tmp_path,
    )  # fmt: skip
    run = json.loads((tmp_path / "inference.json").read_text())
    assert list(run["results"]) == ["latency", "labels", "tta", "panoptic"]
    rows = rows_of(printed)
    for results in run["results"].values():
        first = next(iter(results.values()))
        for name, values in results.items():
            keys = [key for key in report.METRICS if key in first]
            expected = []
            for key in keys:
                known = key in values
                expected.append(report.METRICS[key].form.format(values[key]) if known else "-")
                if not report.METRICS[key].is_ratio:
                    expected.append(f"{values[key] / first[key]:.2f}" if known else "-")
            assert rows[name] == expected
    names = list(run["results"]["latency"])
    assert names[:4] == [
        "maskformer_r18_shapes, labels only",
        "maskformer_r18_shapes, with score maps",
        "mmseg-maskformer_r18_camvid",
        "upernet_r18_shapes",
    ]
    assert "96x128" in (tmp_path / "inference.md").read_text()


def test_all_models_give_labels_of_the_original_size(monkeypatch):
    """Ours, with and without score maps, and mmseg's, which see what their preprocessors pad."""
    sizes = inference.Sizes((60, 85), (96, 128), (0, 0), (0, 0), classes=1)
    seen = []
    plain = models.prediction

    def spy(model, images, samples):
        predict = plain(model, images, samples)
        whole = model.predict
        model.predict = lambda *args: seen.append((images.shape, whole(*args)))
        return predict

    monkeypatch.setattr(models, "prediction", spy)
    configs = [OURS, str(ROOT / "configs/mmseg-maskformer_r18_camvid.py")]
    for function in inference.prepare_latency(configs, sizes, "cpu").values():
        function()
    shapes = [tuple(shape[-2:]) for shape, _ in seen]
    assert shapes == [(64, 96), (64, 96), (60, 85)]
    ((only,), (maps,), (theirs,)) = (samples for _, samples in seen)
    assert "seg_logits" not in only
    assert maps.seg_logits.data.shape == (10, 96, 128)
    assert torch.equal(only.pred_sem_seg.data, maps.pred_sem_seg.data)
    assert theirs.pred_sem_seg.data.shape == (1, 96, 128)


def test_transformers_labels():
    import_transformers()
    sizes = inference.Sizes((60, 85), (96, 128), (0, 0), (0, 0), classes=1)
    (labels,) = inference.prepare_transformers(7, sizes, "cpu")()
    assert labels.shape == (96, 128)
    assert 0 <= labels.min() <= labels.max() < 7


SCALING, INFERENCE = "benchmarks/scaling.py", "benchmarks/inference.py"
DET = str(ROOT / "configs/maskformer_r18_shapes-panoptic-mmdet.py")
UPERNET = str(ROOT / "configs/upernet_r18_shapes.py")


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (SCALING, [DET], "config .*-mmdet.py must be a model of mmseg, not of another framework"),
        (SCALING, ["configs/none.py"], r"config configs/none\.py does not exist"),
        (SCALING, ["--factors", "speed"], "factors are size, .* got 'speed'"),
        (SCALING, ["--at", "width=3"], "--at takes size, .* got 'width'"),
        (SCALING, ["--at", "size=big"], "--at size must be a positive number, got 'big'"),
        (SCALING, ["--at", "size=True"], "--at size must be a positive number, got True"),
        (SCALING, ["--classes", "5"], "classes 5: 10 segments of 5 classes"),
        (SCALING, ["--factors"], "nothing to measure"),
        (SCALING, ["--processes", "1", "3"], "multiple of the processes, got 2 and 3"),
        (SCALING, [OURS, "--stock", OURS], "--stock must have another name than maskformer_r18"),
        (SCALING, ["--amp", "fp16", "--device", "cpu"], "--amp fp16 needs a GPU"),
        (INFERENCE, ["--parts", "speed"], "--parts must be of latency, .* got 'speed'"),
        (INFERENCE, [OURS, DET], "config .*-mmdet.py must be a model of mmseg, not of another"),
        (INFERENCE, ["configs/none.py"], r"config configs/none\.py does not exist"),
        (INFERENCE, [OURS, OURS], "configs must have different names, got maskformer_r18_shapes, "),
        (INFERENCE, [UPERNET], r"upernet_r18_shapes\.py: the first must be a model of mmmask"),
    ],
)
def test_mistakes_name_themselves(tool, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for module, name in ((scaling, "measure"), (inference, "latency")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was measured"))
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    assert re.search(message, mistake(capsys, runpy.run_path, tool, run_name="__main__"))
