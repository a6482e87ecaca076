import copy
import importlib.util
import json
import shutil
import sys

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mmmaskformer.datasets import shapes
from mmmaskformer.utils.png_ids import ids_to_colors
from tests.commands import mistake
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def mmseg_scope():
    init_default_scope("mmseg")


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SPLITS", {"train": 6, "val": 3})
        shapes.make_shapes(root)
    return root


@pytest.fixture
def load_tool(monkeypatch):
    """A script of tools/ as a module that worker processes find."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run_tool(load_tool, monkeypatch, capsys):
    """Run a script of tools/ with two workers; its output, or the one line of its error."""

    def run(name, *arguments, ok=True):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments), "--workers", "2"])
        tool = load_tool(name)
        if ok:
            tool.main()
            return capsys.readouterr().out
        return mistake(capsys, tool.main)

    return run


def writable_copy(source, target):
    """Copy a folder of the shared, read-only data."""
    for file in (file for file in source.rglob("*") if file.is_file()):
        copied = target / file.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)
    return target


CATEGORIES = [
    {"id": 30, "name": "cat", "isthing": 1},
    {"id": 7, "name": "sky", "isthing": 0},
    {"id": 12, "name": "dog", "isthing": 1},
]


def segment(identity, category, area=1, crowd=0):
    return {"id": identity, "category_id": category, "area": area, "iscrowd": crowd}


class PanopticFolder:
    """A hand-made dataset: images/*.png, maps/*.png and ann.json under `root`."""

    def __init__(self, root, categories=CATEGORIES):
        self.root = root
        self.content = {"images": [], "annotations": [], "categories": copy.deepcopy(categories)}
        for folder in ("images", "maps"):
            (root / folder).mkdir()

    def add(self, name, ids, segments, image=None):
        ids = np.asarray(ids)
        if image is None:
            image = np.random.default_rng(0).integers(0, 255, (*ids.shape, 3), dtype=np.uint8)
        Image.fromarray(image).save(self.root / "images" / name)
        Image.fromarray(ids_to_colors(ids)).save(self.root / "maps" / name)
        self.content["images"].append({"id": len(self.content["images"]), "file_name": name})
        self.content["annotations"].append(
            {
                "image_id": self.content["images"][-1]["id"],
                "file_name": name,
                "segments_info": segments,
            }
        )
        return self

    def arguments(self, **more):
        (self.root / "ann.json").write_text(json.dumps(self.content))
        return {
            "ann_file": "ann.json",
            "data_root": str(self.root),
            "data_prefix": dict(img_path="images", seg_map_path="maps"),
            **more,
        }


@pytest.fixture
def folder(tmp_path):
    return PanopticFolder(tmp_path)


def one_image(folder):
    """One image with a thing, stuff and a crowd."""
    ids = [[1000, 1000, 5], [0, 9, 5]]
    segments = [segment(5, 7, 2), segment(1000, 30, 2), segment(9, 12, 1, 1)]
    return folder.add("a.png", ids, segments)
