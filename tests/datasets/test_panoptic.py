"""Datasets: what samples hold, class tables against their sources, every error of a json."""

import collections
import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from mmmaskformer.datasets import (
    ADE20KPanopticDataset,
    CityscapesPanopticDataset,
    COCOPanopticDataset,
    PanopticDataset,
    ShapesPanopticDataset,
)
from mmmaskformer.evaluation.submission import write_prediction
from tests.datasets.conftest import CATEGORIES, PanopticFolder, one_image, segment


def test_sample_of_a_users_own_dataset(folder):
    dataset = PanopticDataset(**one_image(folder).arguments())
    assert dataset.metainfo["classes"] == ("cat", "sky", "dog")
    assert dataset.metainfo["isthing"] == [True, False, True]
    assert dataset.metainfo["category_ids"] == [30, 7, 12]
    assert len(dataset.metainfo["palette"]) == 3
    (sample,) = (dataset.get_data_info(i) for i in range(len(dataset)))
    assert sample["img_path"] == str(folder.root / "images/a.png")
    assert sample["seg_map_path"] == str(folder.root / "maps/a.png")
    assert sample["img_id"] == 0
    assert sample["segments_info"] == [segment(5, 1, 2), segment(1000, 0, 2), segment(9, 2, 1, 1)]


def test_metainfo_orders_the_classes_and_json_fills_the_rest(folder):
    metainfo = dict(classes=("sky", "dog", "cat"), palette=[[1, 1, 1], [2, 2, 2], [3, 3, 3]])
    dataset = PanopticDataset(**one_image(folder).arguments(metainfo=metainfo))
    assert dataset.metainfo["isthing"] == [False, True, True]
    assert dataset.metainfo["category_ids"] == [7, 12, 30]
    assert dataset.metainfo["palette"] == metainfo["palette"]
    classes = [s["category_id"] for s in dataset.get_data_info(0)["segments_info"]]
    assert classes == [0, 2, 1]


def test_colours_of_the_json_are_the_palette(tmp_path):
    categories = [dict(c, color=[i, i, 9]) for i, c in enumerate(CATEGORIES)]
    dataset = PanopticDataset(**one_image(PanopticFolder(tmp_path, categories)).arguments())
    assert dataset.metainfo["palette"] == [[0, 0, 9], [1, 1, 9], [2, 2, 9]]


def test_categories_with_other_names_are_known_by_their_ids(tmp_path):
    """As in files that the original's tools made for ADE20K."""
    categories = [
        {"id": 12, "name": "person, individual", "isthing": 1},
        {"id": 2, "name": "sky", "isthing": 0},
    ]
    folder = PanopticFolder(tmp_path, categories)
    folder.add("a.png", [[1, 2]], [segment(1, 2), segment(2, 12)])
    dataset = ADE20KPanopticDataset(**folder.arguments())
    segments = dataset.get_data_info(0)["segments_info"]
    assert [s["category_id"] for s in segments] == [2, 12]


def test_coco(shared):
    counts = collections.Counter()
    for split in ("train2017", "val2017"):
        dataset = COCOPanopticDataset(
            ann_file=f"annotations/panoptic_{split}.json",
            data_root=str(shared / "data/coco_panoptic_mini/coco"),
            data_prefix=dict(img_path=split, seg_map_path=f"panoptic_{split}"),
        )
        assert len(dataset) == 100
        things = dataset.metainfo["isthing"]
        path = shared / f"data/coco_panoptic_mini/coco/annotations/panoptic_{split}.json"
        content = json.loads(path.read_text())
        names = {c["id"]: c["name"] for c in content["categories"]}
        annotations = {a["image_id"]: a for a in content["annotations"]}
        for sample in (dataset.get_data_info(i) for i in range(100)):
            raw = annotations[sample["img_id"]]["segments_info"]
            assert len(raw) == len(sample["segments_info"])
            for before, after in zip(raw, sample["segments_info"], strict=True):
                assert (
                    dataset.metainfo["classes"][after["category_id"]]
                    == names[before["category_id"]]
                )
                kept = ("id", "area", "iscrowd")
                assert [after[k] for k in kept] == [before[k] for k in kept]
                counts[split, things[after["category_id"]]] += 1
                counts[split, "crowd"] += after["iscrowd"]
    assert counts == {
        ("train2017", True): 746,
        ("train2017", False): 365,
        ("train2017", "crowd"): 6,
        ("val2017", True): 712,
        ("val2017", False): 366,
        ("val2017", "crowd"): 5,
    }


def check_table(metainfo, classes, things):
    assert list(metainfo["classes"]) == list(classes)
    assert [i for i, thing in enumerate(metainfo["isthing"]) if thing] == list(things)
    assert len({len(column) for column in metainfo.values()}) == 1
    assert len(set(metainfo["category_ids"])) == len(metainfo["classes"])


def test_table_of_coco():
    with DefaultScope.overwrite_default_scope("mmdet"):
        from mmdet.datasets import CocoPanopticDataset
    theirs, ours = CocoPanopticDataset.METAINFO, COCOPanopticDataset.METAINFO
    check_table(ours, theirs["classes"], range(80))
    assert [tuple(color) for color in ours["palette"]] == list(theirs["palette"])
    ids = ours["category_ids"]
    assert (ids[0], ids[79], ids[80], ids[132]) == (1, 90, 92, 200)


def test_table_of_ade20k():
    """SceneParse150's order; things are the instance challenge's 100, in its order."""
    from mmdet.datasets.ade20k import ADE20KInstanceDataset
    from mmdet.datasets.ade20k import ADE20KPanopticDataset as Theirs
    from mmseg.datasets import ADE20KDataset

    names = [name.strip() for name in ADE20KDataset.METAINFO["classes"]]
    instances = ADE20KInstanceDataset.METAINFO["classes"]
    things = [names.index(name) for name in instances]
    assert len(set(things)) == 100
    assert things == sorted(things)
    ours = ADE20KPanopticDataset.METAINFO
    check_table(ours, names, things)
    assert ours["category_ids"] == list(range(150))
    assert ours["palette"] == [list(color) for color in ADE20KDataset.METAINFO["palette"]]
    # mmdet's panoptic list, things first, agrees but for the spelling of nine names.
    stuff = [i for i in range(150) if not ours["isthing"][i]]
    spelled = dict(zip(things + stuff, Theirs.METAINFO["classes"], strict=True))
    differ = {names[i]: spelled[i] for i in spelled if spelled[i].split(",")[0] != names[i]}
    assert differ == {
        "windowpane": "window",
        "bathtub": "tub",
        "railing": "rail",
        "streetlight": "street lamp",
        "television receiver": "tv",
        "apparel": "clothes",
        "ashcan": "trash can",
        "swimming pool": "pool",
        "waterfall": "falls",
    }


def test_table_of_cityscapes():
    from mmseg.datasets import CityscapesDataset

    ours = CityscapesPanopticDataset.METAINFO
    check_table(ours, CityscapesDataset.METAINFO["classes"], range(11, 19))
    assert ours["category_ids"][:4] == [7, 8, 11, 12]
    assert ours["category_ids"][-3:] == [31, 32, 33]


@pytest.mark.parametrize("train_ids", [False, True])
def test_cityscapes_as_its_own_tool_writes_it(tmp_path, train_ids):
    table = CityscapesPanopticDataset.METAINFO
    ids = range(19) if train_ids else table["category_ids"]
    categories = [
        {"id": i, "name": name, "isthing": int(thing)}
        for i, name, thing in zip(ids, table["classes"], table["isthing"], strict=True)
    ]
    name = "bochum_000000_000313"
    (tmp_path / "img/bochum").mkdir(parents=True)
    (tmp_path / "gt").mkdir()
    Image.new("RGB", (2, 1)).save(tmp_path / f"img/bochum/{name}_leftImg8bit.png")
    Image.fromarray(np.uint8([[[7, 0, 0], [26000 % 256, 26000 // 256, 0]]])).save(
        tmp_path / f"gt/{name}_gtFine_panoptic.png"
    )
    content = {
        "categories": categories,
        "images": [{"id": name, "file_name": f"{name}_gtFine_leftImg8bit.png"}],
        "annotations": [
            {
                "image_id": name,
                "file_name": f"{name}_gtFine_panoptic.png",
                "segments_info": [segment(7, ids[0]), segment(26000, ids[13])],
            }
        ],
    }
    (tmp_path / "p.json").write_text(json.dumps(content))
    dataset = CityscapesPanopticDataset(
        ann_file="p.json",
        data_root=str(tmp_path),
        data_prefix=dict(img_path="img", seg_map_path="gt"),
        pipeline=[dict(type="mmmaskformer.LoadImageFromFile")]
        + [dict(type="mmmaskformer.LoadPanopticAnnotations")],
    )
    sample = dataset[0]
    assert sample["gt_seg_map"].tolist() == [[256, 257]]
    assert sample["segment_labels"].tolist() == [0, 13]


def test_shapes_are_made_at_first_use(shapes_root):
    dataset = ShapesPanopticDataset(
        ann_file="panoptic_val.json",
        data_root=str(shapes_root),
        data_prefix=dict(img_path="images/val", seg_map_path="panoptic_val"),
    )
    assert len(dataset) == 3
    content = json.loads((shapes_root / "panoptic_val.json").read_text())
    for i, annotation in enumerate(content["annotations"]):
        ours = dataset.get_data_info(i)["segments_info"]
        for before, after in zip(annotation["segments_info"], ours, strict=True):
            assert after["category_id"] == before["category_id"] - 1


def test_submission_ids_are_the_jsons_whatever_the_metainfo_says(folder):
    """Classes in another order than in the json, or with a table's ids."""
    folder.add("a.png", [[1, 1, 2]], [segment(1, 7, 2), segment(2, 12)])
    meta = dict(classes=("dog", "cat", "sky"), isthing=(True, True, False))
    dataset = PanopticDataset(**folder.arguments(metainfo=meta))
    assert dataset.metainfo["category_ids"] == [12, 30, 7]
    stale = {**meta, "category_ids": [1, 2, 3]}
    dataset = PanopticDataset(**folder.arguments(metainfo=stale))
    assert dataset.metainfo["category_ids"] == [12, 30, 7]
    assert [s["category_id"] for s in dataset.get_data_info(0)["segments_info"]] == [2, 0]


def test_images_without_annotations_can_be_predicted(folder):
    folder.add("a.png", [[1, 1, 2]], [segment(1, 7, 2), segment(2, 12)])
    annotated = PanopticDataset(**folder.arguments(test_mode=True))
    assert [s["id"] for s in annotated.get_data_info(0)["segments_info"]] == [1, 2]
    del folder.content["annotations"]
    pipeline = [
        dict(type="mmmaskformer.LoadImageFromFile"),
        dict(type="mmmaskformer.LoadPanopticAnnotations", with_ids=True),
        dict(type="mmmaskformer.PackPanopticInputs"),
    ]
    dataset = PanopticDataset(**folder.arguments(test_mode=True, pipeline=pipeline))
    sample = dataset[0]["data_samples"]
    assert sample.img_id == 0
    assert "gt_panoptic_seg" not in sample
    assert dataset[0]["inputs"].shape == (3, 1, 3)
    for annotations in ({}, {"annotations": []}):  # nothing to learn from
        folder.content.update(annotations)
        with pytest.raises(ValueError, match="no list `annotations`|without annotation: 0"):
            PanopticDataset(**folder.arguments(pipeline=pipeline))


COCO_LIKE = dict(
    classes=("cat", "fox", "dog", "sky"),
    isthing=(True, True, True, False),
    category_ids=[30, 31, 12, 7],
)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([30, 31, 12, 7], [30, 31, 12, 7]),  # the metadata's for the class that the json lacks
        ([30, 12, 13, 7], [30, None, 12, 7]),  # 12 is dog in the json: nothing is known of fox
        (None, [30, None, 12, 7]),
    ],
)
def test_class_that_the_json_lacks_is_not_written_as_another(folder, ids, expected):
    folder.add("a.png", [[1, 1, 2]], [segment(1, 7, 2), segment(2, 12)])
    meta = {**COCO_LIKE, "category_ids": ids}
    dataset = PanopticDataset(**folder.arguments(metainfo=meta))
    assert dataset.metainfo["category_ids"] == expected


def test_class_without_id_can_not_be_written(tmp_path):
    ids, segments = np.int32([[1]]), [dict(id=1, category_id=1)]
    entry = write_prediction(tmp_path, "a.jpg", 4, ids, segments, [30, 31])
    assert entry["segments_info"] == [dict(id=1, category_id=31)]
    with pytest.raises(ValueError, match=r"b\.jpg: class 1 was predicted, but .* no category"):
        write_prediction(tmp_path, "b.jpg", 4, ids, segments, [30, None])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
