"""tools/prepare_ade20k_panoptic.py on hand-made and on real annotations."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from mmmaskformer.datasets.panoptic_format import read_ids
from tests.commands import mistake
from tests.datasets.conftest import writable_copy
from tests.datasets.test_panoptic_configs import BASES, check_samples

WALL, SKY, BED, CABINET = 0, 2, 7, 10  # classes; bed and cabinet are categories 1 and 3


@pytest.fixture
def tool(load_tool):
    return load_tool("prepare_ade20k_panoptic")


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def write(root, split, stem, semantic, category, instance):
    semantic, category, instance = (np.array(a) for a in (semantic, category, instance))
    save(root / f"images/{split}/{stem}.jpg", np.zeros((*semantic.shape, 3)))
    save(root / f"annotations/{split}/{stem}.png", semantic)
    colors = np.stack([category, instance, 0 * category], -1)
    save(root / f"annotations_instance/{split}/{stem}.png", colors)


@pytest.fixture
def ade(tmp_path):
    """Two training images, one for validation; semantic values are class + 1."""
    wall, sky, bed, cabinet = (c + 1 for c in (WALL, SKY, BED, CABINET))
    write(
        tmp_path,
        "training",
        "a",
        [[wall, wall, bed, bed], [0, sky, bed, cabinet], [wall, wall, bed, cabinet]],
        [[0, 1, 1, 1], [0, 0, 1, 3], [0, 0, 0, 3]],
        [[0, 4, 4, 9], [0, 0, 9, 9], [0, 0, 0, 9]],
    )
    write(tmp_path, "training", "b", [[sky]], [[1]], [[1]])
    write(tmp_path, "validation", "c", [[wall, bed]], [[0, 1]], [[0, 255]])
    return tmp_path


def run(tool, monkeypatch, root, workers=1):
    monkeypatch.setattr(sys, "argv", ["prepare", str(root), "--workers", str(workers)])
    tool.main()
    return {s: json.loads((root / f"ade20k_panoptic_{s}.json").read_text()) for s in SPLITS}


SPLITS = ("train", "val")


def masks_by_hand(content, folder, stem):
    """(class, crowd, pixels as text) of each segment of an image."""
    (annotation,) = [a for a in content["annotations"] if a["image_id"] == stem]
    ids = read_ids(folder / annotation["file_name"])
    assert set(np.unique(ids)) - {0} == {s["id"] for s in annotation["segments_info"]}
    found = []
    for info in annotation["segments_info"]:
        mask = ids == info["id"]
        ys, xs = np.nonzero(mask)
        box = [xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1]
        assert info["area"] == mask.sum()
        assert info["bbox"] == box
        text = "/".join("".join(".x"[int(v)] for v in row) for row in mask)
        found.append((info["category_id"], info["iscrowd"], text))
    return sorted(found)


@pytest.mark.parametrize("workers", [1, 2])
def test_hand_made_annotations(tool, ade, monkeypatch, workers):
    content = run(tool, monkeypatch, ade, workers)
    train, val = (ade / f"ade20k_panoptic_{s}" for s in SPLITS)
    assert masks_by_hand(content["train"], train, "a") == [
        (WALL, 0, "x.../..../xx.."),  # one segment in two parts; bed 4 took a pixel
        (SKY, 0, "..../.x../...."),
        (BED, 0, "...x/..x./...."),
        (BED, 0, ".xx./..../...."),
        (CABINET, 0, "..../...x/...x"),  # instance 9 of another category
    ]  # the bed pixel without an instance is void
    assert masks_by_hand(content["train"], train, "b") == [(BED, 0, "x")]
    assert masks_by_hand(content["val"], val, "c") == [(WALL, 0, "x."), (BED, 0, ".x")]
    assert content["train"]["images"] == [
        {"id": "a", "file_name": "a.jpg", "width": 4, "height": 3},
        {"id": "b", "file_name": "b.jpg", "width": 1, "height": 1},
    ]
    categories = content["val"]["categories"]
    assert [c["id"] for c in categories] == list(range(150))
    assert sum(c["isthing"] for c in categories) == 100
    assert not list(ade.rglob(".*"))


def test_every_category_is_its_class(tool):
    """All 100 categories and all 150 classes in one image."""
    category = np.arange(101).repeat(2)[None]
    semantic = np.zeros_like(category)
    ids = tool.panoptic_ids(semantic, np.stack([category, np.minimum(category, 1)], -1))
    segments = tool.segments_of(ids)
    things = [i for i, thing in enumerate(tool.META["isthing"]) if thing]
    assert [s["category_id"] for s in segments] == things
    semantic = np.arange(151)[None]
    ids = tool.panoptic_ids(semantic, np.zeros((1, 151, 2), int))
    stuff = [i for i in range(150) if i not in things]
    assert [s["category_id"] for s in tool.segments_of(ids)] == stuff


def test_stopped_run_goes_on(tool, ade, monkeypatch, capsys):
    before = run(tool, monkeypatch, ade)
    kept, lost = (ade / f"ade20k_panoptic_train/{stem}.png" for stem in "ab")
    bytes_before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    (ade / "ade20k_panoptic_train.json").unlink()
    (lost.parent / ".b.png.4711").write_bytes(b"half")
    capsys.readouterr()
    assert run(tool, monkeypatch, ade) == before
    assert not list(ade.rglob(".*"))
    assert lost.read_bytes() == bytes_before
    assert kept.stat().st_mtime_ns == stamp
    assert "ade20k_panoptic_val.json is complete" in capsys.readouterr().out


def grey(path):
    save(path, np.zeros((1, 1)))


BROKEN = {
    "semantic value": (
        "annotations/training/a.png",
        lambda path: save(path, np.full((3, 4), 151)),
        r"annotations/training/a\.png must hold 0\.\.150, got 151",
    ),
    "category": (
        "annotations_instance/training/a.png",
        lambda path: save(path, np.full((3, 4, 3), 101)),
        r"annotations_instance/training/a\.png must hold 0\.\.100, got 101",
    ),
    "channels": ("annotations_instance/training/b.png", grey, r"b\.png must have 3 channel"),
    "size": (
        "annotations_instance/training/a.png",
        lambda path: save(path, np.zeros((3, 5, 3))),
        r"annotations_instance/training/a\.png is \(3, 5\) .*, its image .*a\.jpg \(3, 4\)",
    ),
    "photo of another size": (
        "images/training/a.jpg",
        lambda path: save(path, np.zeros((5, 4, 3))),
        r"annotations/training/a\.png is \(3, 4\) .*, its image .*training/a\.jpg \(5, 4\)",
    ),
    "damaged photo": ("images/training/a.jpg", lambda p: p.write_bytes(b"x"), r"training/a\.jpg"),
    "damaged map": (
        "annotations/training/a.png",
        lambda path: path.write_bytes(path.read_bytes()[:45]),
        r"annotations/training/a\.png can not be read .* damaged",
    ),
    "missing map": (
        "annotations/training/a.png",
        lambda path: path.unlink(),
        r"annotations/training/a\.png is missing",
    ),
    "missing folder": (
        "annotations_instance/training",
        shutil.rmtree,
        r"annotations_instance/training is missing: download http://.*annotations_instance\.tar",
    ),
    "png of another tool": (
        "ade20k_panoptic_train/a.png",
        lambda path: save(path, np.ones((3, 4, 3))),
        r"ade20k_panoptic_train/a\.png is not what its annotations say; remove it",
    ),
    "json of another tool": (
        "ade20k_panoptic_val.json",
        lambda path: path.write_text("[]"),
        r"ade20k_panoptic_val\.json is not what its annotations say; remove it",
    ),
    "no images": (
        "images/training",
        lambda path: [file.unlink() for file in path.iterdir()],
        "images/training has no images",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_input_is_one_error_that_names_the_file(tool, ade, monkeypatch, capsys, case):
    name, change, message = BROKEN[case]
    change(ade / name)
    assert re.search(message, mistake(capsys, run, tool, monkeypatch, ade))
    assert (ade / "ade20k_panoptic_train.json").exists() == (name == "ade20k_panoptic_val.json")


def test_png_that_was_not_written_whole_is_not_kept(tool, ade, monkeypatch):
    save = Image.Image.save
    tool.prepare((ade, "training", "b"))
    monkeypatch.setattr(
        Image.Image, "save", lambda self, *a, **k: save(self.point(lambda v: v // 2), *a, **k)
    )
    with pytest.raises(OSError, match=r"ade20k_panoptic_train/a\.png does not hold what was"):
        tool.prepare((ade, "training", "a"))
    assert [file.name for file in (ade / "ade20k_panoptic_train").iterdir()] == ["b.png"]


def test_real_annotations(tool, shared, tmp_path, monkeypatch):
    """Segment counts of the original's preparation; the configs' pipelines run on the result."""
    source = shared / "data/ade20k_150_mini/ADEChallengeData2016"
    writable_copy(source, tmp_path)
    content = run(tool, monkeypatch, tmp_path)
    counts = [[len(a["segments_info"]) for a in content[s]["annotations"]] for s in SPLITS]
    assert counts == [[79, 41, 23, 16], [7, 6, 16]]
    cfg = Config.fromfile(BASES / "ade20k_panoptic.py")
    for split, training in (("train", True), ("test", False)):
        dataset = cfg[f"{split}_dataloader"].dataset
        check_samples(DATASETS.build({**dataset, "data_root": str(tmp_path)}), training)


def test_categories_agree_with_classes_on_real_pixels(tool, shared):
    """Pixels of an instance category have its class in the semantic map."""
    root = shared / "data/ade20k_150_mini/ADEChallengeData2016"
    checked = set()
    for path in root.glob("annotations_instance/*/*.png"):
        category = np.asarray(Image.open(path))[..., 0]
        semantic = np.asarray(Image.open(root / "annotations" / path.relative_to(path.parents[1])))
        for value in np.unique(category[category > 0]):
            same = semantic[category == value] == tool.THING_IDS[value]
            assert same.mean() > 0.9
            checked.add(int(value))
    assert len(checked) >= 15
