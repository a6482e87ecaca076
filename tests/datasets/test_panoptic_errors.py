"""Every error of a json and of a panoptic png: one, that names the file and the ids."""

import numpy as np
import pytest
from PIL import Image

from mmmaskformer.datasets import (
    CityscapesPanopticDataset,
    LoadImageFromFile,
    LoadPanopticAnnotations,
    PanopticDataset,
)
from mmmaskformer.utils.png_ids import ids_to_colors
from tests.datasets.conftest import one_image, segment

LOAD = [LoadImageFromFile(), LoadPanopticAnnotations()]


def drop(key):
    return lambda content: content.pop(key)


def edit(part, **changes):
    return lambda content: content[part][0].update(changes)


def edit_segment(**changes):
    return lambda content: content["annotations"][0]["segments_info"][0].update(changes)


BROKEN = {
    "images without list": (drop("images"), "no panoptic json: it has no list `images`"),
    "category without isthing": (
        lambda c: c.update(categories=[{"id": 30, "name": "cat"}]),
        r"categories without `isthing`: .*'id': 30",
    ),
    "two categories of one id": (edit("categories", id=7), "several categories share the id 7"),
    "two of one name": (edit("categories", name="sky"), "several categories share the name sky"),
    "image without file": (lambda c: c["images"][0].pop("file_name"), "an entry of `images` lacks"),
    "annotation without segments": (
        lambda c: c["annotations"][0].pop("segments_info"),
        "an entry of `annotations` lacks",
    ),
    "image twice": (
        lambda c: c["images"].append(c["images"][0]),
        "several `images` with id 0",
    ),
    "annotation of a strange image": (
        edit("annotations", image_id=77),
        "annotations of image ids not in `images`: 77",
    ),
    "image without annotation": (
        lambda c: c["images"].append({"id": 78, "file_name": "b.png"}),
        "image ids without annotation: 78",
    ),
    "segment without category": (
        lambda c: c["annotations"][0]["segments_info"][0].pop("category_id"),
        r"a\.png: every segment needs id, category_id and area",
    ),
    "segment id twice": (edit_segment(id=9), r"a\.png: several segments share the id 9"),
    "segment id of void": (edit_segment(id=0), r"a\.png: segment ids .* in \[1, 2\*\*24\): 0"),
    "segment id too large": (edit_segment(id=1 << 24), r"in \[1, 2\*\*24\): 16777216"),
    "segment id as text": (edit_segment(id="5"), r"no integer in \[1, 2\*\*24\): 5"),
    "unknown category": (
        edit_segment(category_id=99),
        r"a\.png: segments of unknown categories \(id, category_id\): \(5, 99\)",
    ),
    "category id as list": (edit("categories", id=[3]), r"categories\[0\]: 'id' must be a whole"),
    "category id as truth": (edit("categories", id=True), "'id' must be a whole number, got True"),
    "category without name": (edit("categories", name=None), "'name' must be a text, got None"),
    "name as list": (edit("categories", name=["cat"]), "'name' must be a text"),
    "isthing as text": (edit("categories", isthing="no"), "'isthing' must be 0 or 1, got 'no'"),
    "color out of range": (edit("categories", color=[1, 2, 999]), r"'color' must be a list of th"),
    "color as text": (edit("categories", color="red"), "'color' must be a list of three"),
    "image id as list": (edit("images", id=[1]), r"images\[0\]: 'id' must be a whole number or"),
    "file as number": (edit("images", file_name=7), "'file_name' must be a text, got 7"),
    "map as list": (
        edit("annotations", file_name=["a.png"]),
        r"annotations\[0\]: 'file_name' must",
    ),
    "annotation of a list": (edit("annotations", image_id=[0]), "'image_id' must be a whole"),
    "segments as text": (edit("annotations", segments_info="x"), "'segments_info' must be a list"),
    "segments of texts": (edit("annotations", segments_info=["x"]), "must be a list of objects"),
    "segment id as list": (edit_segment(id=[5]), r"no integer in \[1, 2\*\*24\): \[5\]"),
    "segment id as truth": (edit_segment(id=True), r"no integer in \[1, 2\*\*24\): True"),
    "category of a list": (edit_segment(category_id=[7]), r"unknown categories .*\[7\]"),
    "infinite area": (edit_segment(area=float("inf")), r"segments without area \(ids\): 5"),
    "area as text": (edit_segment(area="9"), r"segments without area \(ids\): 5"),
    "crowd as text": (edit_segment(iscrowd="no"), "iscrowd is neither 0 nor 1 .*: 5"),
    "no area": (edit_segment(area=0), r"a\.png: segments without area \(ids\): 5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_json_names_file_and_ids(folder, case):
    change, message = BROKEN[case]
    change(one_image(folder).content)
    with pytest.raises(ValueError, match=rf"ann\.json.*{message}"):
        PanopticDataset(**folder.arguments())


def test_text_that_is_no_json_names_the_file(folder):
    arguments = one_image(folder).arguments()
    (folder.root / "ann.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"ann\.json is no valid json .*line 1"):
        PanopticDataset(**arguments)
    (folder.root / "ann.json").write_text("[" * 200000)
    with pytest.raises(ValueError, match=r"ann\.json is no valid json"):
        PanopticDataset(**arguments)
    (folder.root / "ann.json").write_text('{"images": [], "images": []}')
    with pytest.raises(ValueError, match=r"ann\.json .*has the key 'images' twice"):
        PanopticDataset(**arguments)
    (folder.root / "ann.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"ann\.json"):
        PanopticDataset(**arguments)


@pytest.mark.parametrize("kind", ["images", "maps"])
def test_missing_files_are_named(folder, kind):
    one_image(folder).add("b.png", [[1]], [segment(1, 7)])
    (folder.root / kind / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 2 files .*ann\.json .*{kind}/b\.png"):
        PanopticDataset(**folder.arguments())


def test_classes_that_do_not_fit_the_json(folder):
    arguments = one_image(folder).arguments()
    with pytest.raises(ValueError, match=r"no categories named fox"):
        PanopticDataset(**arguments, metainfo=dict(classes=("cat", "fox")))
    with pytest.raises(ValueError, match=r"not among the dataset's 2 classes.*\(7, 'sky'\)"):
        PanopticDataset(**arguments, metainfo=dict(classes=("cat", "dog")))
    with pytest.raises(ValueError, match=r"not among the dataset's 19 .*\(30, 'cat'\)"):
        CityscapesPanopticDataset(**arguments)
    with pytest.raises(ValueError, match=r"3 classes, 2 isthing"):
        PanopticDataset(**arguments, metainfo=dict(classes=("cat", "sky", "dog"), isthing=[1, 0]))
    metainfo = dict(classes=("cat", "sky", "dog"), isthing=[True, True, True])
    with pytest.raises(ValueError, match=r"`isthing` differs .*\(7, 'sky'\)"):
        PanopticDataset(**arguments, metainfo=metainfo)


def test_long_lists_are_cut(folder):
    segments = [segment(i, 99) for i in range(1, 21)]
    folder.add("a.png", [list(range(1, 21))], segments)
    with pytest.raises(ValueError, match=r"\(8, 99\) and 12 more$"):
        PanopticDataset(**folder.arguments())


def load_broken(folder, ids, segments, change):
    folder.add("a.png", ids, segments)
    arguments = folder.arguments(pipeline=LOAD)
    change(folder.root / "maps/a.png")
    return PanopticDataset(**arguments)[0]


def resave(**options):
    def change(path):
        with Image.open(path) as image:
            (image.convert(**options) if "mode" in options else image.resize(**options)).save(path)

    return change


BROKEN_MAPS = {
    "id only in the png": (
        lambda path: Image.fromarray(ids_to_colors(np.int32([[1, 2, 77]]))).save(path),
        r"maps/a\.png has ids that its json lacks: 77$",
    ),
    "id only in the json": (
        lambda path: Image.fromarray(ids_to_colors(np.int32([[1, 0, 1]]))).save(path),
        r"maps/a\.png lacks ids that its json has: 2$",
    ),
    "one channel": (resave(mode="L"), r"maps/a\.png must be RGB, .* it is of mode L"),
    "other size": (resave(size=(3, 2)), r"a\.png is 2x3 .* its image .*images/a\.png is 1x3"),
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        r"maps/a\.png can not be read .* damaged",
    ),
    "empty": (lambda path: path.write_bytes(b""), r"maps/a\.png can not be read .* damaged"),
}


@pytest.mark.parametrize("case", BROKEN_MAPS)
@pytest.mark.parametrize("crowd", [0, 1])
def test_broken_map_names_file_and_ids(folder, case, crowd):
    change, message = BROKEN_MAPS[case]
    with pytest.raises(ValueError, match=message):
        load_broken(folder, [[1, 2, 2]], [segment(1, 7), segment(2, 30, 2, crowd)], change)
