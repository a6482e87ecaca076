"""A model from a name, a config and a checkpoint; what does not belong together."""

from types import SimpleNamespace

import pytest
import torch

from mmmaskformer.checkpoints.conversion import write_checkpoint
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.engine.runner import read_config
from mmmaskformer.zoo import config_file, load
from mmmaskformer.zoo.loading import class_names
from tests.conftest import SMALL_CONFIG, build_without_weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Seeded weights of the small panoptic model, with names of classes."""
    torch.manual_seed(0)
    model = build_without_weights("maskformer_r18_shapes-panoptic")
    path = tmp_path_factory.mktemp("saved") / "shapes.pth"
    write_checkpoint(model.state_dict(), path, {})
    return path


def written(tmp_path, saved, change):
    """A checkpoint like `saved`, changed."""
    content = torch.load(saved, weights_only=True)
    del content["checksum"]
    content = change(content) or content
    torch.save(content, tmp_path / "changed.pth")
    return tmp_path / "changed.pth"


def test_a_model_with_its_weights_and_names(saved):
    model = load("maskformer_r18_shapes-panoptic", saved, "cpu")
    assert not model.training
    content = torch.load(saved, weights_only=True)
    for name, tensor in content["state_dict"].items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert model.dataset_meta["classes"][:2] == ["circle", "square"]
    assert model.dataset_meta["isthing"] == [True] * 5 + [False] * 5
    assert len(model.dataset_meta["palette"]) == 10
    assert model.cfg.filename == str(config_file("maskformer_r18_shapes-panoptic"))


def test_names_of_the_checkpoint_come_first(saved, tmp_path):
    def rename(content):
        content["meta"] = {"dataset_meta": {"classes": list("abcdefghij")}}

    model = load("maskformer_r18_shapes-panoptic", written(tmp_path, saved, rename))
    assert model.dataset_meta["classes"] == list("abcdefghij")
    assert model.dataset_meta["isthing"] == [True] * 5 + [False] * 5


def test_results_have_the_category_ids_of_coco_whatever_the_checkpoint_leaves_out():
    """They are from 1 to 200 with gaps; without them, segments would have other classes' ids."""
    cfg = read_config(str(config_file("maskformer_r50_coco-panoptic")))
    model = SimpleNamespace(num_classes=133, cfg=cfg, decode_head=None)
    table = metainfo("coco_panoptic")
    assert table["category_ids"][-1] == 200
    for meta in ({}, {"classes": table["classes"]}):  # the latter is that of a converted file
        for key in ("classes", "palette", "category_ids"):
            assert class_names(meta, model)[key] == table[key], key
    own = {"classes": table["classes"], "category_ids": list(range(133))}
    assert class_names(own, model)["category_ids"] == list(range(133))
    others = class_names({"classes": [f"name {i}" for i in range(133)]}, model)
    assert "category_ids" not in others
    assert others["palette"] != table["palette"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["state_dict"],  # weights alone, without meta
        lambda content: {
            "state_dict": {f"module.{k}": v for k, v in content["state_dict"].items()}
        },
    ],
)
def test_weights_alone_and_of_a_distributed_model(saved, tmp_path, change):
    model = load("maskformer_r18_shapes-panoptic", written(tmp_path, saved, change))
    wanted = torch.load(saved, weights_only=True)["state_dict"]
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in wanted.items())
    assert model.dataset_meta["classes"][0] == "circle"


def drop(content):
    del content["state_dict"]["decode_head.predictor.class_embed.bias"]


def spoil(content):
    content["state_dict"]["decode_head.predictor.class_embed.bias"][3] = float("nan")


def imagine(content):
    weights = content["state_dict"]
    name = "decode_head.predictor.class_embed.bias"
    weights[name] = weights[name].to(torch.complex64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"does not fit the config .*class_embed\.bias is missing"),
        (spoil, r"NaN or infinite weights.*class_embed\.bias"),
        (imagine, r"class_embed\.bias is of torch\.complex64"),
        (lambda content: [1, 2], "holds a list; wanted a dict"),
        (lambda content: {"state_dict": {}}, "does not fit the config"),
    ],
)
def test_bad_checkpoints(saved, tmp_path, change, message):
    path = written(tmp_path, saved, change)
    with pytest.raises(ValueError, match=message) as caught:
        load("maskformer_r18_shapes-panoptic", path)
    assert str(path) in str(caught.value)


def test_a_checkpoint_of_another_model_or_none(saved, tmp_path):
    with pytest.raises(ValueError, match=r"shapes\.pth does not fit .*maskformer_r50_camvid\.py"):
        load("maskformer_r50_camvid", saved)
    with pytest.raises(FileNotFoundError, match=r"nix\.pth"):
        load(SMALL_CONFIG, tmp_path / "nix.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.pth can not be read"):
        load(SMALL_CONFIG, tmp_path / "empty.pth")


def test_configs_that_are_not_for_predictions(tmp_path):
    wanted = (
        "^maskformer_r50_coco-panoptic-mmdet is a config of mmdet, and predictions are made with "
        "mmseg's; take maskformer_r50_coco-panoptic, the same model for mmseg$"
    )
    with pytest.raises(ValueError, match=wanted):
        load("maskformer_r50_coco-panoptic-mmdet")
    (tmp_path / "empty.py").write_text("a = 1")
    with pytest.raises(ValueError, match=r"empty\.py is no config of a model"):
        load(tmp_path / "empty.py")
    with pytest.raises(FileNotFoundError, match="no model or config is called 'maskformer_r5"):
        load("maskformer_r5_ade20k")


def test_random_weights_are_given_only_when_asked_for():
    model = load("upernet_r18_shapes", "random")
    assert len(model.dataset_meta["classes"]) == 10
    assert "isthing" not in model.dataset_meta or len(model.dataset_meta["isthing"]) == 10
    with pytest.raises(ValueError, match="has no released weights"):
        load("upernet_r18_shapes")


@pytest.mark.parametrize("device", ["cuda:77", "gpu", "meta"])
def test_devices_that_are_not_there(saved, device):
    with pytest.raises(ValueError, match=f"device '{device}' can not be used: "):
        load("maskformer_r18_shapes-panoptic", saved, device)
