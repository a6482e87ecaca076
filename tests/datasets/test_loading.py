"""Loading of images and label maps, values as in the file; bad files name themselves."""

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mmmaskformer.datasets import CamVidDataset
from mmmaskformer.datasets.loading import LoadAnnotations, LoadImageFromFile


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_camvid(shared, split, count):
    dataset = CamVidDataset(
        data_root=str(shared / "data/camvid"),
        data_prefix=dict(img_path=f"images/{split}", seg_map_path=f"annotations/{split}"),
        pipeline=[LoadImageFromFile(), LoadAnnotations()],
    )
    assert len(dataset) == count
    sample = dataset[7]
    assert sample["img"].shape == (360, 480, 3)
    assert set(np.unique(sample["gt_seg_map"])) <= {*range(11), 255}
    assert len(dataset.metainfo["classes"]) == len(dataset.metainfo["palette"]) == 11


def read(tmp_path, image=None, labels=None, **results):
    results = {
        "img_path": str(tmp_path / "i.png"),
        "seg_map_path": str(tmp_path / "l.png"),
        "seg_fields": [],
        **results,
    }
    if image is not None:
        cv2.imwrite(results["img_path"], image)
        results = LoadImageFromFile()(results)
    if labels is not None:
        cv2.imwrite(results["seg_map_path"], labels)
        results = LoadAnnotations()(results)
    return results


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_grey_colour_and_alpha_images_have_three_channels(tmp_path, channels):
    shape = (5, 1) if channels is None else (5, 1, channels)
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    loaded = read(tmp_path, image)["img"]
    assert loaded.shape == (5, 1, 3)
    assert loaded.flags.c_contiguous
    expected = image[..., None].repeat(3, 2) if channels is None else image[..., :3]
    assert np.array_equal(loaded, expected)


def test_labels_of_sixteen_bits_keep_their_values(tmp_path):
    labels = np.array([[0, 846, 65535]], np.uint16)
    assert np.array_equal(read(tmp_path, labels=labels)["gt_seg_map"], labels)


def test_reduce_zero_label(tmp_path):
    labels = np.array([[0, 1, 150, 255]], np.uint8)
    reduced = read(tmp_path, labels=labels, reduce_zero_label=True)["gt_seg_map"]
    assert reduced.tolist() == [[255, 0, 149, 255]]


def test_wide_ignore_index_survives_narrow_labels(tmp_path):
    cv2.imwrite(str(tmp_path / "l.png"), np.array([[0, 1, 200, 255]], np.uint8))
    results = {"seg_map_path": str(tmp_path / "l.png"), "seg_fields": []}
    loaded = LoadAnnotations(ignore_index=65535)({**results, "reduce_zero_label": True})
    assert loaded["gt_seg_map"].tolist() == [[65535, 0, 199, 254]]
    loaded = LoadAnnotations()({**results, "label_map": {0: 846}})
    assert loaded["gt_seg_map"].tolist() == [[846, 1, 200, 255]]


@pytest.mark.parametrize("labels", [[[0.5, 1.0]], [[70000, 1]], [[-1, 1]]])
def test_labels_that_are_no_class_indices_are_refused(tmp_path, labels):
    dtype = np.float32 if isinstance(labels[0][0], float) else np.int32
    path = tmp_path / "l.tif"
    Image.fromarray(np.array(labels, dtype)).save(path)
    with pytest.raises(ValueError, match=r"l\.tif must hold integers in \[0, 65535\]"):
        LoadAnnotations()({"seg_map_path": str(path), "seg_fields": []})


def test_label_map_does_not_chain(tmp_path):
    labels = np.array([[0, 1, 2]], np.uint8)
    mapped = read(tmp_path, labels=labels, label_map={0: 1, 1: 2, 2: 255})["gt_seg_map"]
    assert mapped.tolist() == [[1, 2, 255]]


def test_bad_files_name_themselves(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / "cut.jpg"
    cv2.imwrite(str(path), image)
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(ValueError, match=r"image .*cut\.jpg can not be read"):
        LoadImageFromFile()({"img_path": str(path)})
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"label map .*cut\.jpg can not be read"):
        LoadAnnotations()({"seg_map_path": str(path), "seg_fields": []})
    with pytest.raises(ValueError, match=r"l\.png must have one channel"):
        read(tmp_path, labels=image)
    with pytest.raises(ValueError, match=r"l\.png is 40x39 .* its image .*i\.png is 40x40"):
        read(tmp_path, image, labels=image[:, :39, 0])
    with pytest.raises(FileNotFoundError):
        LoadImageFromFile()({"img_path": str(tmp_path / "none.jpg")})


def test_odd_images_train_through_the_whole_pipeline(tmp_path):
    """Grey, alpha, one pixel wide, nothing labelled: the CamVid pipeline packs them all."""
    from mmengine.config import Config

    from tests.conftest import ROOT

    init_default_scope("mmseg")
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    shapes_ = {"grey": (50, 70), "alpha": (50, 70, 4), "thin": (90, 1, 3), "void": (30, 30, 3)}
    for name, shape in shapes_.items():
        cv2.imwrite(
            str(tmp_path / "images" / f"{name}.png"), rng.integers(0, 255, shape, dtype=np.uint8)
        )
        labels = np.full(shape[:2], 255 if name == "void" else 3, np.uint8)
        cv2.imwrite(str(tmp_path / "labels" / f"{name}.png"), labels)
    cfg = Config.fromfile(ROOT / "configs/maskformer_r18_camvid.py")
    for pipeline, size in ((cfg.train_pipeline, (240, 320)), (cfg.test_pipeline, None)):
        dataset = BaseSegDataset(
            img_suffix=".png",
            data_root=str(tmp_path),
            data_prefix=dict(img_path="images", seg_map_path="labels"),
            metainfo=dict(classes=("a",) * 4),
            pipeline=pipeline,
        )
        assert len(dataset) == 4
        for sample in dataset:
            labels = sample["data_samples"].gt_sem_seg.data
            assert sample["inputs"].shape[0] == 3
            # Tests score at the size of the file.
            assert labels.shape[-2:] == (size or sample["data_samples"].ori_shape)
            assert size is None or sample["inputs"].shape[-2:] == size
            assert set(labels.unique().tolist()) <= {3, 255}
