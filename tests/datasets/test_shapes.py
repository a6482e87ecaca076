"""The generated dataset: what is drawn, and how it is written once."""

import json
import os

import cv2
import numpy as np
import pytest

from mmmaskformer.datasets import ShapesDataset, shapes


@pytest.fixture(scope="module")
def shapes_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    patch = pytest.MonkeyPatch()
    patch.setattr(shapes, "SPLITS", {"train": 6, "val": 3})
    shapes.make_shapes(root)
    yield root
    patch.undo()


def test_shapes_are_deterministic():
    for index in range(3):
        a, b = (shapes.draw_scene(np.random.default_rng((0, index))) for _ in range(2))
        for x, y in zip(a[:3], b[:3], strict=True):
            assert np.array_equal(x, y)
        assert a[3] == b[3]


def test_shapes_hold_things_that_overlap_stuff_and_ignored_borders():
    scenes = [shapes.draw_scene(np.random.default_rng((0, i)))[1] for i in range(40)]
    counts = np.bincount(np.concatenate([s.ravel() for s in scenes]), minlength=256)
    assert (counts[: len(shapes.CLASSES)] > 0).all()
    assert 0 < counts[255] < 0.1 * counts.sum()
    assert counts[len(shapes.CLASSES) : 255].sum() == 0
    assert 5 < sum(s[0, 0] == 255 for s in scenes) < 25


def test_panoptic_ground_truth_agrees_with_semantic(shapes_root):
    panoptic = json.loads((shapes_root / "panoptic_val.json").read_text())
    assert [c["isthing"] for c in panoptic["categories"]] == [1] * 5 + [0] * 5
    for annotation in panoptic["annotations"]:
        name = annotation["file_name"]
        labels = cv2.imread(str(shapes_root / "annotations/val" / name), cv2.IMREAD_UNCHANGED)
        color = cv2.imread(str(shapes_root / "panoptic_val" / name))[..., ::-1].astype(int)
        ids = color[..., 0] + 256 * color[..., 1] + 65536 * color[..., 2]
        assert set(np.unique(ids)) - {0} == {s["id"] for s in annotation["segments_info"]}
        assert np.array_equal(ids == 0, labels == 255)
        for segment in annotation["segments_info"]:
            mask = ids == segment["id"]
            assert mask.sum() == segment["area"]
            assert (labels[mask] == segment["category_id"] - 1).all()


def test_shapes_dataset_reads_what_was_made(shapes_root):
    dataset = ShapesDataset(
        data_root=str(shapes_root),
        data_prefix=dict(img_path="images/val", seg_map_path="annotations/val"),
        pipeline=[],
    )
    assert len(dataset) == 3
    assert dataset.metainfo["classes"] == shapes.CLASSES
    assert len(dataset.metainfo["palette"]) == 10


def test_foreign_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not the shapes dataset"):
        shapes.make_shapes(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("name", ["version_final.txt", "version_0 mine"])
def test_a_folder_of_versions_is_foreign(tmp_path, name):
    (tmp_path / name).write_text("keep")
    with pytest.raises(FileExistsError, match="not the shapes dataset"):
        shapes.make_shapes(tmp_path)
    assert (tmp_path / name).read_text() == "keep"


def test_what_a_killed_process_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "SPLITS", {"train": 1, "val": 1})
    left = {f".shapes_{2**31 - 1}_abcdef_1", f".shapes_{os.getppid()}_abcdef_1", ".shapes_mine"}
    for name in left:
        (tmp_path / name).mkdir()
    (tmp_path / "shapes/annotations").mkdir(parents=True)
    (tmp_path / "shapes/version_0").touch()
    shapes.make_shapes(tmp_path / "shapes")
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"shapes", f".shapes_{os.getppid()}_abcdef_1", ".shapes_mine"}
    assert {path.name for path in (tmp_path / "shapes").iterdir()} == {
        "images", "annotations", "version_1", *(f"panoptic_{s}" for s in ("train", "val")),
        "panoptic_train.json", "panoptic_val.json",
    }  # fmt: skip


def test_killed_generation_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "_write_split", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        shapes.make_shapes(tmp_path / "shapes")
    assert list(tmp_path.iterdir()) == []
