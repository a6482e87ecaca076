"""Class names of converted weights, and what mmseg's `init_model` makes of them."""

import pickle

import pytest
import torch
from mmengine.config import Config
from mmseg.apis import init_model

from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.heads.names import ClassNames
from tests.checkpoints.original_format import original_weights
from tests.conftest import ROOT, SMALL_CONFIG
from tests.reference import parameter_lists, recipes

TABLES = {
    19: "cityscapes",
    65: "mapillary",
    133: "coco_panoptic",
    150: "ade20k",
    171: "coco_stuff_10k",
    847: "ade20k_full",
}


@pytest.fixture
def source(small_model, tmp_path):
    """A function that saves the small model, with another number of classes."""

    def save(classes, **meta):
        weights = dict(small_model.state_dict())
        for kind in ("weight", "bias"):
            name = f"decode_head.predictor.class_embed.{kind}"
            weights[name] = weights[name][:1].repeat(classes + 1, *[1] * (weights[name].ndim - 1))
        torch.save({"state_dict": weights, "meta": meta}, tmp_path / "source.pth")
        return tmp_path / "source.pth"

    return save


def names_of(path):
    return torch.load(path, weights_only=True)["meta"]["dataset_meta"]


@pytest.fixture
def original(source, tmp_path):
    """A function that saves the small model as the original would have."""

    def save(classes, **beside):
        weights = torch.load(source(classes), weights_only=True)["state_dict"]
        path = tmp_path / f"original{classes}{len(beside)}.pkl"
        path.write_bytes(pickle.dumps({**original_weights(weights), **beside}))
        return path

    return save


@pytest.mark.parametrize("count", TABLES)
def test_datasets_of_the_released_models_are_recognised(convert, original, count, tmp_path):
    output = convert(original(count), tmp_path / "ours.pth")
    assert f"class names: {TABLES[count]}, as SRC is weights alone of the original" in output
    assert names_of(tmp_path / "ours.pth") == metainfo(TABLES[count])


def test_only_released_files_are_recognised(convert, source, original, tmp_path):
    for file, reason in (
        (source(150), "not known: SRC has none, and is no file of the original; give --dataset"),
        (original(150, optimizer={}), "not known: SRC has optimizer, so it is no released file"),
        (original(151), "not known: no released model has 151 classes; give --dataset"),
    ):
        assert f"class names: {reason}" in convert(file, tmp_path / "ours.pth")
        assert names_of(tmp_path / "ours.pth") == {}


def test_the_numbers_are_those_of_the_released_models():
    lists = [parameter_lists()[row["config"]]["state_dict"] for row in recipes()]
    names = ("sem_seg_head.predictor.class_embed.weight", "sem_seg_head.predictor.weight")
    counts = {
        weights[n][1][0] - (n == names[0]) for weights in lists for n in names if n in weights
    }
    assert counts <= set(TABLES)


def test_others_are_not_guessed(convert, source, tmp_path):
    output = convert(source(6), tmp_path / "ours.pth")
    assert (
        "class names: not known: SRC has none, and is no file of the original; give --d" in output
    )
    assert names_of(tmp_path / "ours.pth") == {}
    convert(source(11), tmp_path / "ours.pth", "--dataset", "camvid")
    assert names_of(tmp_path / "ours.pth") == metainfo("camvid")
    error = convert(source(6), tmp_path / "no.pth", "--dataset", "camvid", ok=False)
    assert "--dataset camvid has 11 classes" in error
    assert "source.pth 6 (MaskFormer, 6 classes" in error
    assert not (tmp_path / "no.pth").exists()


@pytest.mark.parametrize(
    "meta",
    [
        dict(dataset_meta=dict(classes=("a", "b"), palette=[[1, 2, 3], [4, 5, 6]], more=1)),
        dict(CLASSES=["a", "b"], PALETTE=[[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_names_of_the_source_are_kept(convert, source, meta, tmp_path):
    assert "class names: those that SRC has" in convert(source(2, **meta), tmp_path / "ours.pth")
    expected = {"classes": ["a", "b"], "palette": [[1, 2, 3], [4, 5, 6]]}
    assert names_of(tmp_path / "ours.pth") == expected
    output = convert(source(3, **meta), tmp_path / "ours.pth")  # of another number
    assert "class names: not known" in output


def test_init_model_shows_names_of_the_models_classes(convert, source, tmp_path):
    cfg = Config.fromfile(ROOT / f"configs/{SMALL_CONFIG}.py")
    shapes = metainfo("shapes")

    def shown(file, config=cfg):
        return init_model(config, str(file), device="cpu").dataset_meta

    # mmseg guesses Cityscapes for files without names; those of the config's dataset are right.
    assert list(shown(source(10))["classes"]) == shapes["classes"]
    convert(source(10), tmp_path / "ours.pth", "--dataset", "shapes")
    assert shown(tmp_path / "ours.pth") == shapes
    cfg.model.decode_head.num_classes = 12
    convert(source(12), tmp_path / "ours.pth")
    for file in (source(12), tmp_path / "ours.pth"):
        meta = shown(file)
        assert meta["classes"] == tuple(f"class {i}" for i in range(12))
        assert len({tuple(color) for color in meta["palette"]}) == 12
    own = {"classes": [f"c{i}" for i in range(12)], "palette": [[i] * 3 for i in range(12)]}
    assert shown(source(12, dataset_meta=own)) == own


def test_a_model_before_its_names_are_set():
    assert ClassNames().dataset_meta is None
