"""benchmarks/profile_step.py as a user runs it, on tiny images."""

import json
import re
import runpy
import sys

import matplotlib.image
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from benchmarks.kit import stage_report
from benchmarks.kit import stage_wiring as wiring
from tests.commands import mistake
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

TINY = [
    "--models", "mmseg", "ours", "--depth", "18", "--size", "64", "96", "--test-size", "64", "86",
    "--label-size", "96", "128", "--segments", "3", "--repeats", "2", "--warmup", "0",
    "--device", "cpu",
]  # fmt: skip


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["profile_step.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "benchmarks/profile_step.py"), run_name="__main__")


LOSS_STAGES = [
    "mask logits",
    "targets",
    "matching: costs",
    "matching: copy",
    "matching: assignment on host",
    "mask losses",
    "class loss",
    "backward: losses, mask logits",
]


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    out = tmp_path_factory.mktemp("profile")
    with pytest.MonkeyPatch.context() as patch:
        call(patch, *TINY, "--out", out)
    return out, json.loads((out / "profile.json").read_text())


def rows_of(lines, separator):
    rows = [[c.strip() for c in ln.split(separator)[1:-1]] for ln in lines if separator in ln]
    return [row for row in rows if row and row[0] not in ("", "stage") and "---" not in row[0]]


def test_the_tables_are_the_json(profiled):
    out, run = profiled
    written = rows_of((out / "profile.md").read_text().splitlines(), "|")
    expected = []
    for part, results in run["results"].items():
        assert list(results) == ["mmseg", "ours"]
        names = [*wiring.STAGES[part], "rest"]
        if part == "training":
            names.append("matching and losses together")
        for name in names:
            if name in names[: len(wiring.STAGES[part]) + 1]:
                times = [r["stages"].get(name, r["rest"]) for r in results.values()]
            else:
                times = [sum(r["stages"][s] for s in LOSS_STAGES) for r in results.values()]
            shares = [100 * t / r["whole"] for t, r in zip(times, results.values(), strict=True)]
            cells = [f"{t:.2f} ({s:.1f} %)" for t, s in zip(times, shares, strict=True)]
            ratio = f"{times[0] / times[1]:.2f}" if min(times) > 0 else "-"
            expected.append([name, *cells, ratio])
        for name, key in (("whole step", "whole"), ("whole step, no clocks within", "plain")):
            times = [r[key] for r in results.values()]
            expected.append([name, *(f"{t:.2f}" for t in times), f"{times[0] / times[1]:.2f}"])
    assert written == expected
    assert len(written) == 16 + 1 + 6 + 2 * 3
    assert "| stage | mmseg | ours | mmseg / ours |" in (out / "profile.md").read_text()


def test_what_is_printed_is_what_is_written(monkeypatch, capsys, tmp_path):
    call(monkeypatch, *TINY, "--parts", "inference", "--models", "ours", "--out", tmp_path)
    printed = rows_of(capsys.readouterr().out.splitlines(), "│")
    assert printed == rows_of((tmp_path / "profile.md").read_text().splitlines(), "|")


def test_every_turn_adds_up(profiled):
    _, run = profiled
    for part, turns in run["turns_ns"].items():
        for name, of_model in turns.items():
            assert len(of_model) == 2
            for turn in of_model:
                assert sum(turn["spent"].values()) == turn["whole"] > 0
                assert turn["plain"] > 0
            result = run["results"][part][name]
            wholes = [turn["whole"] / 1e6 for turn in of_model]
            assert result["whole"] == pytest.approx(sum(wholes) / 2)
            assert sum(result["stages"].values()) + result["rest"] == pytest.approx(result["whole"])


def test_titles_say_what_was_measured(profiled):
    titles = profiled[1]["titles"]
    for text in ("R18", "2 images of 64x96", "3 segments", "fp32", "torch 2", "median of 2"):
        assert text in titles["training"]
    assert "an image of 64x86 to labels of 96x128" in titles["inference"]


def test_bars_are_the_stages():
    stages = (*wiring.STAGES["inference"], "rest")
    values = dict(zip(stages, (1, 2, 4, 8, 16, 32, -1), strict=True))
    rest = values.pop("rest")
    fast = {"stages": values, "rest": rest, "whole": 62, "plain": 60}
    slow = {"stages": dict.fromkeys(values, 20.0), "rest": 5.0, "whole": 125, "plain": 1234.5}
    axis = Figure().subplots()
    stage_report.draw_bars(axis, stages, {"fast": fast, "slow": slow})
    bars = [(round(b.get_y() + 0.31), b.get_x(), b.get_width()) for b in axis.patches]
    widths = {0: [1, 2, 4, 8, 16, 32, 0], 1: [20] * 6 + [5]}
    for row, expected in widths.items():
        assert [width for r, _, width in bars if r == row] == expected
        lefts = [sum(expected[:i]) for i in range(len(expected))]
        assert [left for r, left, _ in bars if r == row] == lefts
    halves = axis.patches[: len(stages)], axis.patches[len(stages) :]
    for name, first, second in zip(stages, *halves, strict=True):
        colour = to_rgba(stage_report.COLOURS[name])
        assert first.get_facecolor() == second.get_facecolor() == colour
    texts = [text.get_text() for text in axis.texts]
    assert texts[-1] == "125 ms\n(| 1234 without clocks)"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["fast", "slow"]


def test_stages_look_different():
    for names in wiring.STAGES.values():
        styles = [stage_report.style(name) for name in (*names, "rest")]
        assert len({(s["facecolor"], s["hatch"]) for s in styles}) == len(styles)


def test_the_picture_shows_all_colours(profiled):
    out, run = profiled
    picture = matplotlib.image.imread(out / "profile.png")
    pixels = {tuple(p) for p in (picture[..., :3] * 255).round().astype(int).reshape(-1, 3)}
    for names in wiring.STAGES.values():
        for name in names:
            assert tuple(round(255 * c) for c in to_rgba(stage_report.COLOURS[name])[:3]) in pixels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--amp", "fp16"], "--amp fp16 needs a GPU"),
        (["--segments", "151"], r"segments must be 1\.\.150, .* got 151"),
        (["--models", "transformers"], r"needs `pip install 'transformers>=5'`"),
    ],
)
def test_mistakes_name_themselves(arguments, message, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert re.search(message, mistake(capsys, call, monkeypatch, *TINY, *arguments))
