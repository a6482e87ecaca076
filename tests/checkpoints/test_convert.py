"""Files of other implementations through `tools/convert_weights.py`, good and bad ones."""

import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from mmmaskformer.checkpoints.conversion import WithoutMemory, convert_checked, read_weights
from mmmaskformer.checkpoints.naming import CheckpointError
from mmmaskformer.checkpoints.naming import convert as rename
from tests.checkpoints.original_format import original_weights
from tests.conftest import ROOT, SMALL_CONFIG, build_without_weights
from tests.reference import parameter_lists, slow_but_one_dataset

register_all_modules()


def test_a_released_file_becomes_the_same_model(small_model, convert, released, tmp_path):
    target = tmp_path / "new_folder" / "ours.pth"
    output = convert(
        released, target, "--num-classes", 10, "--config", ROOT / f"configs/{SMALL_CONFIG}.py"
    )
    assert "MaskFormer, 10 classes, 20 queries, 3 decoder layers; ResNet-18 backbone" in output
    assert "not used: criterion.empty_weight follows from the config" in output
    assert "CC BY-NC 4.0" in output
    other = build_without_weights(SMALL_CONFIG)
    load_checkpoint(other, str(target), map_location="cpu", strict=True)
    theirs = other.state_dict()
    for name, tensor in small_model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    assert os.listdir(target.parent) == ["ours.pth"]
    convert(target, tmp_path / "again.pth")  # our own format passes through


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(protocol, tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2), "c": np.zeros((0, 2), "i8")}
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "matching_heuristics": True}, protocol))
    weights, _ = read_weights(path)
    assert weights["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights["b"].item() == 2
    assert weights["c"].shape == (0, 2)


@pytest.mark.parametrize("row", slow_but_one_dataset(), ids=lambda row: row["config"])
def test_every_released_model_is_recognised_and_complete(row):
    """In both spellings; the check against our model's names and shapes is the converter's."""
    listed = parameter_lists()[row["config"]]
    tensors = {
        name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for name, (dtype, shape) in listed["state_dict"].items()
    }
    released = {listed["released_name"].get(n, n): t for n, t in tensors.items()}
    results = [convert_checked(weights) for weights in (tensors, released)]
    assert results[0].conversion.state_dict.keys() == results[1].conversion.state_dict.keys()
    for result in results:
        assert result.num_classes in (19, 65, 133, 150, 171, 847)
        assert not result.unfilled
        assert set(result.conversion.unused) <= {"criterion.empty_weight"}


def test_safetensors(small_model, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="needs extra dev")
    arrays = original_weights(small_model.state_dict())["model"]
    weights = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}
    safetensors.save_file(weights, tmp_path / "model.safetensors")
    read, _ = read_weights(tmp_path / "model.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:-9])
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(tmp_path / "model.safetensors")


VARIANTS = {
    "r34": (dict(depth=34), {}, "ResNet-34 backbone"),
    "r152": (dict(depth=152), {}, "ResNet-152 backbone"),
    "one layer": ({}, dict(transformer_decoder=dict(num_layers=1)), "1 decoder layers"),
    "alone": ({}, dict(transformer_decoder=dict(self_attention=False)), "no self-attention"),
    "queries": ({}, dict(num_queries=7), "7 queries"),
    "projected": ({}, dict(channels=512, project_memory=True), "MaskFormer"),
    "encoder": (
        {},
        dict(
            pixel_decoder=dict(
                type="TransformerEncoderPixelDecoder", num_layers=2, feedforward_channels=64
            )
        ),
        "2 encoder layers",
    ),
    "narrow": (
        {},
        dict(channels=64, mask_channels=32, transformer_decoder=dict(feedforward_channels=96)),
        "MaskFormer",
    ),
    "perpixel": ({}, dict(type="mmmaskformer.PerPixelBaselineHead"), "PerPixelBaseline, 10"),
    "plus": ({}, dict(type="mmmaskformer.PerPixelBaselinePlusHead"), "PerPixelBaselinePlus, 10"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_architecture_is_read_from_the_shapes(name):
    """Of any model of ours, through the names of our own format."""
    backbone, head, description = VARIANTS[name]
    channels = [64, 128, 256, 512] if backbone.get("depth", 18) < 50 else [256, 512, 1024, 2048]
    cfg = dict(
        type="mmmaskformer.MaskFormer",
        backbone=dict(type="ResNet", norm_cfg=dict(type="BN"), **{"depth": 18, **backbone}),
        decode_head={
            "type": "mmmaskformer.MaskFormerHead",
            "in_channels": channels,
            "num_classes": 10,
            **head,
        },
    )
    with WithoutMemory():
        weights = MODELS.build(cfg).state_dict()
    report = convert_checked(weights)
    assert report.conversion.source.name == "mmmaskformer's own format"
    assert description in report.description
    assert report.num_classes == 10
    for extra in ("decode_head.predictor.more.weight", "backbone.layer1.0.conv9.weight"):
        with pytest.raises(CheckpointError, match="left over"):
            convert_checked({**weights, extra: torch.zeros(1)})


def test_names_of_transformers_4():
    layer, ours = "model.transformer_module.decoder.layers.0.", "transformer_decoder.layers.0."
    old = {layer + "self_attn.out_proj.bias": "self_attn.out_proj.bias"}
    old.update({layer + "fc1.weight": "linear1.weight", layer + "fc2.bias": "linear2.bias"})
    weights = {name: torch.zeros(1) for name in old}
    weights["model.pixel_level_module.decoder.mask_projection.bias"] = torch.zeros(1)
    names = rename(weights).state_dict
    for new in old.values():
        assert f"decode_head.predictor.{ours}{new}" in names


def test_normalisation_constants_are_named():
    weights = {"sem_seg_head.layer_4.weight": torch.zeros(1), "pixel_mean": torch.zeros(3, 1, 1)}
    assert rename(weights).unused == {"pixel_mean": "follows from the config"}


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.bool_])
def test_types_of_arrays_are_kept(dtype, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.ones(3, dtype)}))
    weights, _ = read_weights(tmp_path / "a.pkl")
    assert weights["a"].numpy().dtype == dtype


def test_what_else_a_file_holds_is_named(convert, small_model, tmp_path):
    content = {**original_weights(small_model.state_dict()), "iteration": 7, "ema_state_dict": {}}
    content["model"] = {n: torch.tensor(a) for n, a in content["model"].items()}
    torch.save(content, tmp_path / "model_final.pth")
    output = convert(tmp_path / "model_final.pth", tmp_path / "ours.pth")
    assert "not used: __author__, iteration, ema_state_dict beside the weights" in output
    assert "attention heads can not be seen in weights; 8" in output


NESTED = {
    "DeepSpeed": lambda w: {"module": w, "lr": 1},
    "torch": lambda w: {"model_state_dict": w, "optimizer_state_dict": {"state": {}}},
    "Lightning": lambda w: {"state_dict": {f"model.{n}": t for n, t in w.items()}, "epoch": 1},
    "averaged alone": lambda w: {
        "ema_state_dict": {**{f"module.{n}": t for n, t in w.items()}, "steps": torch.tensor(2)}
    },
    "averaged beside": lambda w: {
        "model_ema": {n: t + 1 for n, t in w.items() if t.is_floating_point()},
        "model": {"state_dict": w},
    },
    "another model first": lambda w: {"state_dict": {"encoder.x": torch.ones(1)}, "network": w},
}


@pytest.mark.parametrize("kind", NESTED)
def test_weights_are_found_where_they_are(kind, small_model, tmp_path):
    weights = small_model.state_dict()
    torch.save(NESTED[kind](weights), tmp_path / "a.pth")
    found = convert_checked(read_weights(tmp_path / "a.pth")[0]).conversion.state_dict
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_a_dict_that_holds_itself(tmp_path):
    content = {"a": torch.ones(1)}
    content["model"] = content
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="its containers contain themselves"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", [".pth", ".PKL", ""])
def test_content_decides_not_the_suffix(released, suffix):
    other = released.with_suffix(suffix)
    other.write_bytes(released.read_bytes())
    expected = read_weights(released)[0]
    for name, tensor in read_weights(other)[0].items():
        assert torch.equal(tensor, expected[name])
    old = released.with_name("old.pkl")
    torch.save({"model": expected}, old, _use_new_zipfile_serialization=False)
    assert read_weights(old)[0].keys() == expected.keys()
