"""Growth over one factor at a time, from made-up measurements."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.kit import growth_plot, report, scaling, suite
from tests.conftest import ROOT

BASE = suite.Settings(
    size=(512, 512),
    batch=2,
    segments=10,
    label_classes=150,
    num_classes=150,
    repeats=1,
    warmup=0,
    device="cpu",
    options={scaling.QUERIES: 100},
)
OURS = str(ROOT / "configs/maskformer_r18_shapes.py")


def test_fits_are_exact_where_the_law_is():
    power = scaling.fit([4, 16, 64], [6, 12, 24], power=True)
    assert (power.a, power.b) == pytest.approx((3, 0.5))
    assert power.at(100) == pytest.approx(30)
    line = scaling.fit([1, 5, 10], [2.5, 4.5, 7], power=False)
    assert (line.a, line.b) == pytest.approx((2, 0.5))
    assert line.at(100) == pytest.approx(52)


def test_fits_are_least_squares():
    line = scaling.fit([0, 1, 2], [0, 3, 0], power=False)
    assert (line.a, line.b) == pytest.approx((1, 0))
    power = scaling.fit([1, np.e, np.e**2], [1, np.e**3, 1], power=True)
    assert (power.a, power.b) == pytest.approx((np.e, 0))


@pytest.mark.parametrize(
    ("factor", "value", "changes"),
    [
        ("size", 256, dict(size=(256, 256))),
        ("segments", 40, dict(segments=40)),
        ("classes", 847, dict(num_classes=847, label_classes=847)),
        ("queries", 20, dict(options={scaling.QUERIES: 20})),
        ("batch", 8, dict(batch=8)),
    ],
)
def test_one_factor_at_a_time(factor, value, changes):
    points = scaling.grid(BASE, {factor: [value, scaling.value_of(BASE, factor), value]})
    assert list(points) == [factor]
    assert list(points[factor]) == sorted({value, scaling.value_of(BASE, factor)})
    assert points[factor][value] == replace(BASE, **changes)
    assert points[factor][scaling.value_of(BASE, factor)] == BASE
    assert scaling.value_of(points[factor][value], factor) == value


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"speed": [1]}, "factors are size, segments, classes, queries, batch, got 'speed'"),
        ({"size": [0, 64]}, r"size must be positive numbers, got \[0, 64\]"),
        ({"size": []}, r"size must be positive numbers, got \[\]"),
        ({"classes": [5]}, "classes 5: 10 segments of 5 classes"),
        ({"segments": [200]}, "segments 200: 200 segments of 150 classes"),
    ],
)
def test_grids_that_can_not_be(chosen, message):
    with pytest.raises(ValueError, match=message):
        scaling.grid(BASE, chosen)


def made_up(monkeypatch, limit_mb):
    """Measurements by formula: time 1 s + 0.1 s a segment, or 1 us a pixel; memory 2 KB a pixel;
    what takes more than the limit does not fit. Returns the settings that memory was asked for.
    """
    asked = []

    def fresh(function, *args):
        if function is scaling.limited_peak_mb:
            settings = args[1]
            asked.append((args[0], settings))
            peak = settings.size[0] ** 2 * settings.batch / 512
            if peak > limit_mb:
                raise MemoryError("too much")
            return peak
        assert function is scaling.step_seconds
        return {
            key: 1 + 0.1 * s.segments if s.size == (512, 512) else s.size[0] ** 2 / 1e6
            for key, s in args[0].items()
        }

    monkeypatch.setattr(scaling, "in_fresh_process", fresh)
    return asked


def test_growth_of_made_up_measurements(monkeypatch):
    asked = made_up(monkeypatch, 1e9)
    chosen = {"segments": [5, 10, 20], "size": [128, 256, 512]}
    rows = scaling.measure(["a/ours.py"], BASE, chosen)
    assert [(r["factor"], r["value"], r["config"]) for r in rows] == [
        (factor, value, "ours") for factor, values in chosen.items() for value in values
    ]
    assert [r["train_memory_mb"] for r in rows] == [1024] * 3 + [64, 256, 1024]
    # The point in the middle is measured once.
    assert len(asked) == 5
    size_rows = [r for r in rows if r["factor"] == "segments" or r["value"] < 512]
    found = {(g["factor"], g["metric"]): g for g in scaling.growths(size_rows, BASE)}
    segments = found["segments", "train_step_s"]
    assert (segments["a"], segments["b"]) == pytest.approx((1, 0.1))
    # 10 segments more cost 1 s; the step at 10 segments takes 2 s.
    assert segments["text"] == "+50.0 % per 10 segments"
    assert found["segments", "train_memory_mb"]["text"] == "+0.0 % per 10 segments"
    for metric, a in (("train_step_s", 1e-6), ("train_memory_mb", 2 / 512)):
        size = found["size", metric]
        assert (size["a"], size["b"], size["power"]) == (pytest.approx(a), pytest.approx(1), True)
        assert size["text"] == "pixels^1.00"


def test_shares_are_of_the_fit_at_the_point():
    rows = [
        dict(factor="batch", value=v, config="c", train_step_s=1 + v, train_memory_mb=None)
        for v in (1, 2, 4)
    ]
    (growth,) = scaling.growths(rows, BASE)
    assert growth["text"] == "+33.3 % per image"
    assert scaling.growths(rows[:1], BASE) == []


@pytest.mark.parametrize("offset", [9, 10, 11])
def test_there_is_no_share_of_nothing(offset):
    """Lines that are 1, 0 and -1 at the point's 10 segments."""
    rows = [
        dict(factor="segments", value=v, config="c", train_step_s=v - offset, train_memory_mb=None)
        for v in (20, 30)
    ]
    (growth,) = scaling.growths(rows, BASE)
    assert growth["text"] == ("+1000.0 % per 10 segments" if offset == 9 else "-")


def test_larger_than_what_does_not_fit_is_not_tried(monkeypatch):
    asked = made_up(monkeypatch, 4096)
    rows = scaling.measure(["a.py", "b.py"], BASE, {"batch": [1, 4, 8, 16, 32]})
    assert [s.batch for config, s in asked if config == "a.py"] == [1, 4, 8, 16]
    memory = [r["train_memory_mb"] for r in rows if r["config"] == "b"]
    assert memory == [512, 2048, 4096, None, None]
    assert [r["train_step_s"] is None for r in rows if r["config"] == "b"] == [False] * 3 + [
        True
    ] * 2
    header, lines = scaling.measured_table(rows)
    assert header == [""] + [f"{c}: {m}" for c in "ab" for m in ("train s / step", "train peak MB")]
    assert lines[2] == ["batch 8", "2.000", "4096", "2.000", "4096"]
    assert lines[3] == ["batch 16"] + ["no memory"] * 4
    header, lines = scaling.growth_table(scaling.growths(rows, BASE))
    assert header[1:] == scaling.measured_table(rows)[0][1:]
    # 512 MB an image; two images take 1024.
    assert lines == [["batch", "+0.0 % per image", "+50.0 % per image"] + lines[0][3:]]


def test_the_files_say_what_was_measured(monkeypatch, tmp_path):
    made_up(monkeypatch, 4096)
    rows = scaling.measure(["a.py", "b.py"], BASE, {"size": [64, 512], "batch": [1, 2, 64]})
    found = scaling.growths(rows, BASE)
    run = {"results": rows, "growth": found}
    tables = [("What", *scaling.measured_table(rows)), ("Growth", *scaling.growth_table(found))]
    paths = report.write_tables(tmp_path / "new/out", "scaling", run, tables)
    assert [path.name for path in paths] == ["scaling.json", "scaling.md"]
    assert json.loads(paths[0].read_text()) == run
    assert paths[1].read_text() == report.markdown(*tables[0]) + "\n" + report.markdown(*tables[1])
    figures = []
    plain = growth_plot.Figure.savefig
    monkeypatch.setattr(
        growth_plot.Figure,
        "savefig",
        lambda self, *args, **kwargs: [plain(self, *args, **kwargs), figures.append(self)],
    )
    growth_plot.draw(rows, found, "made up", tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).shape[0] > 300
    axes = figures[0].axes
    assert [a.get_xlabel() for a in axes] == ["", "", "image height = width", "batch"]
    texts = [text.get_text() for text in axes[2].get_legend().get_texts()]
    assert texts == [f"{c}: pixels^1.00" for c in "ab"]
    points, fit = axes[2].lines[:2]
    assert points.get_xydata().tolist() == [[64, 16], [512, 1024]]
    # The fit goes through the points: there are two.
    assert fit.get_xydata()[[0, -1]] == pytest.approx(points.get_xydata())
    assert axes[3].lines[0].get_xdata().tolist() == [1, 2]  # 64 did not fit
