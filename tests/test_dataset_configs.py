"""Facts of a dataset stand once in its base file, and are those of its metadata."""

import re

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules

from tests.conftest import ROOT

register_all_modules()
BASES = sorted((ROOT / "configs/_base_/datasets").glob("*.py"))
OF_ONE_DATASET = [
    path
    for path in BASES
    if path.stem not in ("semantic", "panoptic", "own", "own_small", "own_panoptic")
]


@pytest.mark.parametrize("path", OF_ONE_DATASET, ids=lambda path: path.stem)
def test_class_counts_and_things_are_the_datasets(path):
    cfg = Config.fromfile(path)
    metadata = DATASETS.get(cfg.dataset.type).METAINFO
    head = cfg.model_of_data.decode_head
    assert cfg.num_classes == head.num_classes == len(metadata["classes"])
    assert (head.get("isthing") == cfg.dataset.type) == ("panoptic" in path.stem)


def steps(value):
    """All configs of something with a type, at any depth."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        value = value.values()
    if not isinstance(value, (str, int, float, type(None))):
        for item in value:
            yield from steps(item)


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_every_part_ignores_the_same_label(path):
    cfg = Config.fromfile(path)
    wanted = {"ade20k_full": 65535, "mapillary": 65}.get(path.stem, 255)
    assert cfg.ignore_index == wanted
    ids = "void" in cfg  # steps of panoptic pipelines see maps of segments
    keys = ("train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator")
    found = []
    for step in steps([cfg[key] for key in (*keys, "test_evaluator")]):
        kind = step.type.split(".")[-1]
        in_map = 0 if ids and kind in ("Pad", "RandomCrop") else wanted
        if kind == "Pad":
            found.append((step.pad_val.seg, in_map))
        if kind in ("LoadAnnotations", "PackPanopticInputs", "IoUMetric", "SceneParsingMetric"):
            found.append((step.ignore_index, in_map))
        if kind == "RandomCrop" and step.get("cat_max_ratio", 1.0) < 1:
            found.append((step.ignore_index, in_map))
    assert len(found) > 1
    assert all(value == right for value, right in found)
    model = cfg.model_of_data
    assert model.data_preprocessor.seg_pad_val == model.decode_head.ignore_index == wanted


def test_no_config_repeats_the_ignored_label_or_counts_steps():
    for path in (ROOT / "configs").rglob("*.py"):
        text = path.read_text()
        rest = re.sub(r"^(ignore_index|num_classes) = \d+$", "", text, flags=re.MULTILINE)
        assert not re.findall(r"\b(?:255|65535|65)\b", re.sub("#.*", "", rest)), path
        assert not re.findall(r"\w\[\d+\]", text), path
