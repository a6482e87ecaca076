"""Tables, files and the regression guard."""

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.kit import plot, ratios, report

RESULTS = {
    "stock": {"mIoU": 40.0, "parameters_m": 41.3, "train_step_s": 2.0, "train_memory_mb": 3000.0},
    "ours": {"mIoU": 44.0, "parameters_m": 41.3, "train_step_s": 1.5, "train_memory_mb": 1200.0},
    "bare": {"parameters_m": 31.1, "train_step_s": 1.0, "train_memory_mb": 1000.0},
}
SETTINGS = {"size": [64, 64], "batch": 2, "segments": 3, "device": "cpu", "amp": None}


def run_of(results, **settings):
    return {
        "title": "made up",
        "settings": {**SETTINGS, "options": {}, "num_classes": None, **settings},
        "machine": {"processor": "an abacus, 2 threads", "torch": "2.13.0"},
        "results": results,
        "reference": next(iter(results)),
        "ratios": ratios.ratios(results),
    }


def test_ratios_are_to_the_first():
    assert ratios.ratios(RESULTS) == {
        "ours": {
            "mIoU": pytest.approx(1.1),
            "parameters_m": 1.0,
            "train_step_s": 0.75,
            "train_memory_mb": 0.4,
        },
        "bare": {
            "parameters_m": pytest.approx(31.1 / 41.3),
            "train_step_s": 0.5,
            "train_memory_mb": pytest.approx(1 / 3),
        },
    }


@pytest.mark.parametrize(
    ("metric", "value", "worsening"),
    [
        ("mIoU", 0.0, math.inf),
        ("train_step_s", 0.0, -1.0),
        ("train_step_s", 1.8, 0.2),
        ("train_step_s", 1.2, -0.2),
        ("mIoU", 55.0, -0.2),
        ("mIoU", 40.0, 0.1),
    ],
)
def test_worse_is_slower_or_less_accurate(metric, value, worsening):
    new = run_of({**RESULTS, "ours": {**RESULTS["ours"], metric: value}})
    changed = [c for c in ratios.changes(new, run_of(RESULTS), "old.json") if c.worsening]
    assert [(c.config, c.metric) for c in changed] == [("ours", metric)]
    assert changed[0].worsening == pytest.approx(worsening)


def test_ratios_of_nothing():
    some, none = {"gflops": 5.0, "train_step_s": 2.0}, {"gflops": 0.0, "train_step_s": 4.0}
    assert ratios.ratios({"none": none, "some": some}) == {"some": {"train_step_s": 0.5}}
    assert ratios.ratios({"some": some, "none": none})["none"]["gflops"] == 0
    assert ratios.Change("a", "PQ", 0.0, 0.0).worsening == 0
    assert ratios.Change("a", "PQ", 0.0, 0.5).worsening == -1
    assert ratios.Change("a", "latency_s", 0.0, 0.5).worsening == math.inf


def test_a_slower_machine_changes_no_ratio():
    slow = {n: {**v, "train_step_s": 7 * v["train_step_s"]} for n, v in RESULTS.items()}
    for change in ratios.changes(run_of(slow), run_of(RESULTS), "old.json"):
        assert change.worsening == pytest.approx(0)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (run_of(RESULTS, size=[64, 96]), r"old.json was measured with size \[64, 64\], this run"),
        (run_of(RESULTS, num_classes=847), "with num_classes None, this run with 847"),
        (run_of(dict(reversed(RESULTS.items()))), "ratios to stock, the first config here is bare"),
        (
            {**run_of(RESULTS), "machine": {"processor": "an abacus, 8 threads"}},
            "with machine an abacus, 2 threads, this run with an abacus, 8 threads",
        ),
        (
            run_of({"stock": RESULTS["stock"], "new": RESULTS["ours"]}),
            "old.json has ratios of configs that this run lacks: ours, bare$",
        ),
    ],
)
def test_runs_that_can_not_be_compared(new, message):
    with pytest.raises(ValueError, match=message):
        ratios.check_comparable(new, list(new["results"]), run_of(RESULTS), "old.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", [64, 96]),
        ("batch", 3),
        ("segments", 4),
        ("device", "cuda"),
        ("amp", "bf16"),
        ("options", {"a": 1}),
        ("num_classes", 7),
    ],
)
def test_ratios_depend_on_every_setting(key, value):
    new, old = run_of(RESULTS, **{key: value}), run_of(RESULTS)
    with pytest.raises(ValueError, match=f"old.json was measured with {key} "):
        ratios.check_comparable(new, list(RESULTS), old, "old.json")


def test_runs_that_can_be_compared():
    """A config more, and a tuple where a json has a list."""
    more = {**RESULTS, "new": RESULTS["bare"]}
    old, new = (run_of(r, options={"a": v}) for r, v in ((RESULTS, [1]), (more, (1,))))
    ratios.check_comparable(new, list(more), old, "old.json")
    assert {change.config for change in ratios.changes(new, old, "old.json")} == {"ours", "bare"}


def test_ratios_that_were_lost_are_named():
    lost = {"stock": RESULTS["stock"], "ours": {"mIoU": 44.0, "parameters_m": 41.3}}
    message = (
        "old.json has ratios that this run lacks: train_step_s of ours, train_memory_mb of ours, "
        "parameters_m of bare, train_step_s of bare, train_memory_mb of bare$"
    )
    with pytest.raises(ValueError, match=message):
        ratios.changes(run_of(lost), run_of(RESULTS), "old.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("{", "is no valid json"),
        ("[1]", "is not a benchmark.json"),
        ('{"results": {}}', "is not a benchmark.json"),
        (json.dumps({**run_of(RESULTS), "machine": "abacus"}), "is not a benchmark.json: wanted"),
        (json.dumps({**run_of(RESULTS), "ratios": {}}), "holds no ratios"),
        (json.dumps({**run_of(RESULTS), "ratios": {"ours": 2}}), "is not a benchmark.json"),
        (json.dumps({**run_of(RESULTS), "ratios": {"ours": {"speed": 2}}}), "unknown .*'speed'"),
        (json.dumps({**run_of(RESULTS), "ratios": {"ours": {"PQ": "2"}}}), "PQ must .* got '2'"),
        (json.dumps({**run_of(RESULTS), "ratios": {"ours": {"PQ": math.nan}}}), "PQ must .*nan"),
    ],
)
def test_broken_earlier_runs(tmp_path, text, message):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises((OSError, ValueError), match=f"^{path} ?:?.*{message}"):
        ratios.read_run(path)


def test_the_files_say_what_the_table_says(tmp_path):
    run = run_of(RESULTS)
    header, rows = report.cells(RESULTS)
    assert header == ["config", "mIoU", "params M", "train s / step", "train peak MB"]
    assert rows[0] == ["stock", "40.00", "41.3", "2.000", "3000"]
    assert rows[2] == ["bare", "-", "31.1", "1.000", "1000"]
    paths = report.write_report(tmp_path / "new/folder", run)
    assert [p.suffix for p in paths] == [".json", ".csv", ".md", ".png"]
    assert sorted(p.name for p in paths[0].parent.iterdir()) == sorted(p.name for p in paths)
    assert json.loads(paths[0].read_text()) == run
    assert ratios.read_run(paths[0]) == run
    read = {row.pop("config"): row for row in csv.DictReader(paths[1].open())}
    assert {n: {k: float(v) for k, v in r.items() if v} for n, r in read.items()} == RESULTS
    lines = paths[2].read_text().splitlines()
    assert lines[0] == "made up"
    assert [[c.strip() for c in line.split("|")[1:-1]] for line in lines[4:]] == rows
    assert [c.strip() for c in lines[2].split("|")[1:-1]] == header
    picture = cv2.imread(str(paths[3]))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_a_file_is_complete_or_not_there(tmp_path):
    path = tmp_path / "a.txt"

    def half(part: Path):
        part.write_text("half")
        raise OSError("disk full")

    path.write_text("before")
    with pytest.raises(OSError, match="disk full"):
        report.write_files(tmp_path, "a", {"txt": half})
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"


def test_axes_show_what_all_configs_have():
    assert plot.measured(RESULTS, plot.Y_AXES) == "train_step_s"
    both = {name: RESULTS[name] for name in ("stock", "ours")}
    assert plot.measured(both, plot.Y_AXES) == "mIoU"
    assert plot.measured(RESULTS, ("latency_s",)) is None


def test_labels_do_not_cover_each_other(monkeypatch, tmp_path):
    """Nine configs, always three of them at nearly the same place."""
    figures = []
    plain = plot.Figure.savefig
    monkeypatch.setattr(
        plot.Figure,
        "savefig",
        lambda self, *args, **kwargs: [plain(self, *args, **kwargs), figures.append(self)],
    )
    results = {
        f"maskformer_r{i}_camvid": {
            "mIoU": 40 + i // 3 + 0.001 * i,
            "parameters_m": 20 + 10 * (i // 3),
            "train_memory_mb": 1000 + 400 * (i // 3),
        }
        for i in range(9)
    }
    plot.draw(results, "made up", tmp_path / "a.png")
    assert [axis.get_xlabel() for axis in figures[0].axes] == ["params M", "train peak MB"]
    assert figures[0].axes[0].get_ylabel() == "mIoU"
    for axis in figures[0].axes:
        boxes = [text.get_window_extent() for text in axis.texts]
        assert [text.get_text() for text in axis.texts] == list(results)
        for i, box in enumerate(boxes):
            assert box.count_overlaps(boxes[:i]) == 0
        points = {tuple(line.get_xydata()[0]) for line in axis.lines if len(line.get_xdata())}
        assert len(points) == 9


def test_a_picture_of_nothing(tmp_path):
    plot.draw({"a": {"gflops": 1.0}}, "one number only", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
