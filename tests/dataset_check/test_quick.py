"""What training looks at before its first step; the full check says the same."""

import copy
import json

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mmmaskformer.dataset_check import quick
from mmmaskformer.dataset_check.agreement import Findings
from mmmaskformer.dataset_check.splits import build_parts, complaint
from mmmaskformer.engine.runner import check_datasets
from tests.conftest import ROOT
from tests.dataset_check.tree import CONFIG


@pytest.fixture
def cfg(tmp_path):
    """A config of three classes, and three images with all of them, for training and validation."""
    for folder in ("img", "ann"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        write(tmp_path, i, np.tile(np.array([0, 1, 2, 255], np.uint8), (20, 5)))
    (tmp_path / "mine.py").write_text(
        CONFIG.format(root=ROOT, data=tmp_path, scope="mmmaskformer.")
    )
    found = Config.fromfile(tmp_path / "mine.py")
    found.root = str(tmp_path)
    return found


def write(folder, name, labels, suffix="jpg"):
    Image.fromarray(np.zeros((*labels.shape, 3), np.uint8)).save(folder / f"img/{name}.{suffix}")
    Image.fromarray(labels).save(folder / f"ann/{name}.png")


def test_good_files_say_nothing(cfg):
    found = quick.quick_check(cfg, ["train", "val"])
    assert (found.errors, found.warnings) == ([], [])


def test_a_head_with_more_classes_than_the_dataset(cfg, tmp_path):
    cfg.model.decode_head.num_classes = 150
    (line,) = quick.quick_check(cfg, ["train", "val"]).errors
    assert line == (
        "model.decode_head.num_classes is 150, but the train dataset has 3 classes: set "
        "model.decode_head.num_classes=3 or change metainfo.classes"
    )


def test_an_empty_dataset_names_the_folder(cfg, tmp_path):
    for file in (tmp_path / "img").iterdir():
        file.rename(file.with_suffix(".png"))
    errors = quick.quick_check(cfg, ["train"]).errors
    assert errors == [
        f"train: the dataset is empty; is its img_suffix that of the files in {tmp_path}/img?"
    ]


def test_masks_of_0_and_255(cfg, tmp_path, monkeypatch):
    for i in range(3):
        write(tmp_path, i, np.tile(np.array([0, 255], np.uint8), (20, 10)))
    found = quick.quick_check(cfg, ["train"])
    assert found.errors == [
        "train: the label maps hold 0 and 255 only, and 255 is ignored, so that class 0 is all "
        "there is to learn: masks of 0 and 255 need 1 in place of 255"
    ]
    monkeypatch.setattr(quick, "MOST_MAPS", 2)  # what is left could hold a class
    found = quick.quick_check(cfg, ["train"])
    assert not found.errors
    assert "the label maps hold 0 and 255 only" in found.warnings[0]
    write(tmp_path, 1, np.tile(np.array([0, 1, 255], np.uint8), (20, 10)))
    monkeypatch.undo()
    assert not quick.quick_check(cfg, ["train"]).errors


def test_images_that_are_left_out_and_maps_that_are_missing(cfg, tmp_path):
    write(tmp_path, "other", np.zeros((20, 20), np.uint8), "png")
    found = quick.quick_check(cfg, ["train"])
    assert found.warnings == [
        f"train: 1 images in {tmp_path}/img end in .png and are left out: the dataset's img_suffix "
        "ends in .jpg"
    ]
    (tmp_path / "ann/1.png").unlink()
    errors = quick.quick_check(cfg, ["train"]).errors
    assert errors == [
        "train: 1 of 3 files that the train dataset names are missing: " + f"{tmp_path}/ann/1.png"
    ]


def test_more_segments_than_queries(cfg, tmp_path):
    config = Config.fromfile(ROOT / "configs/maskformer_r18_shapes-panoptic.py")
    names = ["cell", "sky"]
    categories = [dict(id=i + 1, name=n, isthing=1 - i) for i, n in enumerate(names)]
    segments = [dict(id=i + 1, category_id=1, area=16, iscrowd=0) for i in range(5)]
    annotation = dict(image_id=0, file_name="0.png", segments_info=segments)
    image = dict(id=0, file_name="0.jpg", height=20, width=20)
    content = dict(images=[image], annotations=[annotation], categories=categories)
    (tmp_path / "a.json").write_text(json.dumps(content))
    loader = config.train_dataloader
    loader.dataset = dict(
        type="mmmaskformer.PanopticDataset",
        ann_file="a.json",
        data_root=str(tmp_path),
        data_prefix=dict(img_path="img", seg_map_path="ann"),
        pipeline=copy.deepcopy(loader.dataset.pipeline),
    )
    config.model.decode_head.update(num_classes=2, isthing=[True, False], num_queries=4)
    found = quick.quick_check(config, ["train"])
    assert found.errors == []
    assert found.warnings == [
        "train: 1 of 1 images have more segments than the model has queries (num_queries=4), up "
        f"to 5 in {tmp_path}/ann/0.png; those without a query are not learnt"
    ]
    config.model.decode_head.num_queries = 5
    assert quick.quick_check(config, ["train"]).warnings == []
    config.model.decode_head.num_queries = 4
    segments[0]["iscrowd"] = 1  # needs no query
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert quick.quick_check(config, ["train"]).warnings == []
    check_stock_transforms(config)


def check_stock_transforms(config):
    """Those that do not know panoptic maps are refused, wherever they stand."""
    where = "train_dataloader.dataset.pipeline"
    mixing = "joins several images, whose segments have the same numbers in their panoptic maps"
    plain = config.train_dataloader.dataset
    mosaic = dict(type="RandomMosaic", prob=1.0, img_scale=(20, 20))
    config.train_dataloader.dataset = dict(
        type="MultiImageMixDataset", dataset=plain, pipeline=[mosaic]
    )
    assert quick.quick_check(config, ["train"]).errors == [
        f"{where}.RandomMosaic {mixing}: leave it out"
    ]
    config.train_dataloader.dataset = plain
    for step, fault in (
        (dict(type="mmdet.MixUp"), mixing),
        (dict(type="mmdet.CopyPaste"), mixing),
        (dict(type="mmdet.RandomAffine"), "moves the image but not its panoptic map"),
    ):
        plain.pipeline.insert(2, step)
        (line,) = quick.quick_check(config, ["train"]).errors
        name = step["type"].split(".")[1]
        assert line == f"{where}.{name} {fault}: leave it out"
        plain.pipeline.pop(2)


def test_a_mosaic_of_label_maps_is_right(cfg):
    mosaic = dict(type="RandomMosaic", prob=1.0, img_scale=(20, 20))
    loader = cfg.train_dataloader
    loader.dataset = dict(type="MultiImageMixDataset", dataset=loader.dataset, pipeline=[mosaic])
    assert quick.quick_check(cfg, ["train"]).errors == []


class Listing(BaseSegDataset):
    """A user's dataset that knows its folders, and takes neither pipeline nor serialize_data."""

    def __init__(self, root):
        super().__init__(
            data_root=root,
            data_prefix=dict(img_path="img", seg_map_path="ann"),
            metainfo=dict(classes=("a", "b", "c")),
        )


def test_datasets_of_another_signature_are_read(cfg, tmp_path):
    cfg.train_dataloader.dataset = dict(type=Listing, root=str(tmp_path))
    found = quick.quick_check(cfg, ["train"])
    assert (found.errors, found.warnings) == ([], [])
    (part,) = build_parts(cfg, "train", Findings())
    assert len(part.samples) == 3
    (tmp_path / "ann/1.png").unlink()
    cfg.train_dataloader.dataset = dict(type=Listing, root=str(tmp_path), serialize_data=True)
    (line,) = quick.quick_check(cfg, ["train"]).errors
    assert "serialize_data" in line


def test_other_datasets_and_loaders_are_left_alone(cfg):
    cfg.train_dataloader.dataset.pipeline.pop(1)
    assert quick.quick_check(cfg, ["train"]).errors == []
    cfg.train_dataloader.dataset.type = "mmdet.CocoPanopticDataset"
    assert quick.quick_check(cfg, ["train"]).errors == []


def test_training_prints_a_line_each_and_stops(cfg, tmp_path, capsys, monkeypatch):
    cfg.model.decode_head.num_classes = 4
    cfg.model.decode_head.ignore_index = 254
    write(tmp_path, "other", np.zeros((20, 20), np.uint8), "png")
    with pytest.raises(ValueError, match=r"\(--no-check goes on all the same\)$"):
        check_datasets(cfg, ["train"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: train: 1 images in ")
    assert all(line.startswith("error: ") for line in lines[1:])
    assert len(lines) > 1
    monkeypatch.setenv("RANK", "1")
    check_datasets(cfg, ["train"])  # the first process says it
    assert capsys.readouterr().err == ""


def test_settings_that_a_dataset_has_no_use_for():
    config = dict(type="ShapesDataset", img_suffix=".jpg", indices=[7])
    twice = TypeError("f() got multiple values for keyword argument 'img_suffix'")
    assert complaint(config, twice) == (
        "ShapesDataset sets img_suffix itself, and '.jpg' was given; remove it"
    )
    assert complaint(config, IndexError("list index out of range")) == (
        "indices=[7] of ShapesDataset lead out of the list of its images"
    )
    assert complaint(dict(type="A"), IndexError("x")) is None
