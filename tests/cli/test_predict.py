"""`mmmaskformer predict` in this process, and once as a process that gets Ctrl-C."""

import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from mmmaskformer.cli.main import main
from tests.conftest import ROOT
from tests.inference.conftest import write_film
from tests.inference.models import PANOPTIC, UPERNET


@pytest.fixture
def predict(checkpoints, monkeypatch, tmp_path, capfd):
    """Runs the command in an empty folder; its exit code, stdout and lines of stderr."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments, name=PANOPTIC):
        options = ["--model", name, "--checkpoint", checkpoints[name], "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["mmmaskformer", "predict", *map(str, arguments)])
        sys.argv += map(str, options)
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        output = capfd.readouterr()
        lines = [line for line in output.err.splitlines() if "mmengine - INFO" not in line]
        return caught.value.code or 0, output.out, lines

    yield run
    signal.signal(signal.SIGTERM, before)


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_photograph_becomes_an_overlay_labels_and_segments(predict, photographs, tmp_path):
    limits = ("--object-threshold", 0.05, "--overlap-threshold", 0)
    code, out, lines = predict(photographs / "a.png", *limits)
    assert (code, lines[0].split(" in ")[0]) == (0, "1 image")
    assert lines[0].endswith("images a second, in results")
    folder = tmp_path / "results"
    assert names(folder) == ["a.json", "a_labels.png", "a_overlay.jpg", "a_panoptic.png"]
    content = json.loads((folder / "a.json").read_text())
    assert content["task"] == "panoptic"
    assert len(content["segments"]) > 1
    colors = np.asarray(Image.open(folder / "a_panoptic.png")).astype(int)
    ids = colors @ [1, 256, 65536]
    for segment in content["segments"]:
        assert (ids == segment["id"]).sum() == segment["area"]
    assert np.asarray(Image.open(folder / "a_labels.png")).shape == (100, 120)
    assert Image.open(folder / "a_overlay.jpg").size == (120, 100)


def test_a_pipe_gets_a_line_for_each_image_and_nothing_else(predict, photographs, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    paths = [photographs / "b.png", tmp_path / "bad.png", photographs / "a.png"]
    options = ("--json", "-", "--task", "semantic", "--batch-size", 3)
    code, out, lines = predict(*paths, *options)
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["image"] for one in found] == [str(paths[0]), str(paths[2])]
    assert sum(segment["area"] for segment in found[1]["segments"]) == 100 * 120
    assert "mask" not in found[0]["segments"][0]
    assert code == 1
    assert lines[0].startswith(f"skipped: image {paths[1]} can not be read")
    assert lines[1] == "1 skipped, 2 predicted"
    assert lines[2].startswith("2 images in ")
    assert names(tmp_path) == ["bad.png"]  # nothing is written but the lines
    code, out, _ = predict(paths[0], *options, "--masks")
    mask = json.loads(out)["segments"][0]["mask"]
    assert mask["size"] == [128, 128]


def test_json_in_a_file_beside_pictures_of_another_model(predict, photographs, tmp_path):
    code, out, _ = predict(photographs, "--json", "all.jsonl", "--out", "maps", name=UPERNET)
    assert (code, out) == (0, "")
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    assert [os.path.basename(json.loads(line)["image"]) for line in lines] == [
        f"{letter}.png" for letter in "abcd"
    ]
    assert "a_labels.png" in names(tmp_path / "maps")
    assert "a_panoptic.png" not in names(tmp_path / "maps")


def test_images_of_one_name_keep_their_folders(predict, photographs, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        (tmp_path / "photos" / folder / "a.png").write_bytes((photographs / "a.png").read_bytes())
    assert predict("photos", "--task", "semantic")[0] == 0
    found = names(tmp_path / "results")
    assert [name for name in found if name.endswith("overlay.jpg")] == [
        "x/a_overlay.jpg",
        "y/a_overlay.jpg",
    ]


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_a_video_becomes_a_video(predict, film, tmp_path, suffix):
    options = ("--side-by-side", "--video-format", suffix, "--json", "-", "--out", "films")
    code, out, lines = predict(film, *options)
    assert code == 0
    assert names(tmp_path) == [f"films/street.{suffix}"]
    capture = cv2.VideoCapture(str(tmp_path / f"films/street.{suffix}"))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    numbers = []
    while (frame := capture.read())[0]:
        assert frame[1].shape == (48, 128, 3)
        numbers.append(int(frame[1][24, 20, 2]) / 20)  # the red of the left half
    assert np.allclose(numbers, range(12), atol=0.7)
    assert [json.loads(line)["image"] for line in out.splitlines()] == [
        f"{film} frame {number}" for number in range(12)
    ]


def test_a_video_that_is_cut_becomes_a_shorter_one(predict, film, tmp_path):
    (tmp_path / "cut.avi").write_bytes(film.read_bytes()[: int(film.stat().st_size * 0.7)])
    code, _, lines = predict("cut.avi")
    assert code == 1
    assert lines[0].startswith("skipped: cut.avi ends after ")
    count = int(lines[-1].split(" ")[0])
    capture = cv2.VideoCapture(str(tmp_path / "results/cut.mp4"))
    assert 0 < count < 12
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == count


def test_a_damaged_video_among_others_is_skipped(predict, photographs, film, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    code, _, lines = predict(photographs / "a.png", "bad.mp4", film, "--task", "semantic")
    assert code == 1
    assert [line for line in lines if line.startswith("skipped: ")] == [
        "skipped: video bad.mp4 can not be read; it is damaged or no video"
    ]
    assert lines[-1].startswith("13 images in ")
    assert "street.mp4" in names(tmp_path / "results")
    assert "bad.mp4" not in names(tmp_path / "results")


def test_the_json_beside_pictures_has_masks_too(predict, photographs, tmp_path):
    options = ("--task", "semantic", "--json", "all.jsonl", "--out", "out")
    assert predict(photographs / "a.png", *options, "--masks")[0] == 0
    line = json.loads((tmp_path / "all.jsonl").read_text())
    content = json.loads((tmp_path / "out/a.json").read_text())
    assert line["segments"] == content["segments"]
    assert content["segments"][0]["mask"]["size"] == [100, 120]


def test_mistakes_are_one_line_and_leave_nothing(predict, photographs, film, tmp_path):
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "street.png").write_bytes((photographs / "a.png").read_bytes())
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/street.png").write_bytes((photographs / "a.png").read_bytes())
    for arguments, text in {
        ("strett.png",): "strett.png does not exist; did you mean street.png?",
        ("street.png", "--out", "."): f"--out . would write among the files of {tmp_path}, which "
        "are read; name another folder",
        ("street.png", "--json", "street.png"): "--json street.png would write over street.png, "
        "which is read; name another",
        ("street.png", "--json", "deep"): "--json deep is a folder; wanted the name of a file",
        ("deep", "--out", "deep"): "--out deep would write among the files of deep",
        ("deep", "--out", "deep/new"): "--out deep/new would write among the files of deep",
        ("deep", "--out", "deep/../deep/new"): "--out deep/../deep/new would write among",
        ("street.png", "--out", "file"): "file is a file; wanted a folder",
        ("street.png", "--classes", "circel"): "the model knows no class 'circel'; wanted names "
        "such as circle",
        ("street.png", "--opacity", "2"): "--opacity must be",
        ("street.png", "--size", "0"): "size must be a whole number",
    }.items():
        code, out, lines = predict(*arguments)
        assert (code, out) == (2, "")
        assert len(lines) == 1
        assert lines[0].startswith(f"error: {text}"), lines
    code, _, lines = predict("zero.png")
    assert code == 2
    assert lines[-1] == "error: nothing could be predicted; the reasons are above"
    code, _, lines = predict("street.png", "zero.png", "--strict")
    assert code == 2
    assert lines[-1].startswith("error: image zero.png can not be read")
    assert names(tmp_path / "results") == [f"street{end}" for end in (
        ".json", "_labels.png", "_overlay.jpg", "_panoptic.png")]  # fmt: skip
    other = tmp_path / "other"
    other.mkdir()
    write_film(other / "street.avi", 3)
    write_film(other / "street.mp4", 3)
    code, _, lines = predict(other / "street.avi", other / "street.mp4")
    assert code == 2
    assert "would be written under one name; rename one" in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_ctrl_c_leaves_a_video_that_plays(checkpoints, tmp_path, kind):
    write_film(tmp_path / "long.mp4", 2000)
    code = "from mmmaskformer.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, "predict", "long.mp4", "--json", "-"]
        + ["--model", PANOPTIC, "--checkpoint", checkpoints[PANOPTIC], "--out", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    for _ in range(5):
        assert json.loads(process.stdout.readline())["image"].startswith("long.mp4 frame")
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert names(tmp_path / "out") == ["long.mp4"]
    capture = cv2.VideoCapture(str(tmp_path / "out/long.mp4"))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    assert 4 <= count < 2000
    for _ in range(count):
        assert capture.read()[0]
