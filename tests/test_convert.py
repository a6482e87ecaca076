"""Files of other implementations through `tools/convert_weights.py`, good and bad ones."""

import gzip
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from mmmaskformer.convert import WithoutMemory, convert_checked, read_weights
from mmmaskformer.core.checkpoint import CheckpointError
from mmmaskformer.core.checkpoint import convert as rename
from tests.conftest import ROOT
from tests.original_format import original_weights

register_all_modules()
SMALL = "maskformer_r18_shapes"


def build(name):
    cfg = Config.fromfile(ROOT / "configs" / f"{name}.py")
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return build(SMALL)


@pytest.fixture
def released(model, tmp_path):
    """The file of a small model in the format of the released ones."""
    path = tmp_path / "model_final_abc.pkl"
    path.write_bytes(pickle.dumps(original_weights(model.state_dict())))
    return path


def test_a_released_file_becomes_the_same_model(model, convert, released, tmp_path):
    target = tmp_path / "new_folder" / "ours.pth"
    output = convert(
        released, target, "--num-classes", 10, "--config", ROOT / f"configs/{SMALL}.py"
    )
    assert "MaskFormer, 10 classes, 20 queries, 3 decoder layers; ResNet-18 backbone" in output
    assert "not used: criterion.empty_weight follows from the config" in output
    assert "CC BY-NC 4.0" in output
    other = build(SMALL)
    load_checkpoint(other, str(target), map_location="cpu", strict=True)
    theirs = other.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    assert os.listdir(target.parent) == ["ours.pth"]
    convert(target, tmp_path / "again.pth")  # our own format passes through


def test_command_line_has_no_traceback(tmp_path):
    (tmp_path / "bad.pkl").write_text("<html>")
    command = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "tools/convert_weights.py",
        tmp_path / "bad.pkl",
        tmp_path / "ours.pth",
    ]
    result = subprocess.run(command, text=True, capture_output=True, check=False)
    assert result.returncode == 1
    assert not result.stdout
    assert len(result.stderr.strip().splitlines()) == 1


def test_other_number_of_classes_lists_both(convert, released, tmp_path):
    error = convert(released, tmp_path / "ours.pth", "--num-classes", 19, ok=False)
    assert "has 10 classes" in error
    assert "--num-classes says 19" in error
    assert not (tmp_path / "ours.pth").exists()


def test_wrong_config_lists_both(convert, released, tmp_path):
    error = convert(
        released,
        tmp_path / "o.pth",
        "--config",
        ROOT / "configs/maskformer_r50_ade20k.py",
        ok=False,
    )
    assert "10 classes, 20 queries, 3 decoder layers; ResNet-18" in error
    assert "150 classes, 100 queries, 6 decoder layers; ResNet-50" in error


class Evil:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_files_that_run_code_are_refused(convert, suffix, tmp_path):
    path, marker = tmp_path / f"evil{suffix}", tmp_path / "was_here"
    content = {"model": {"sem_seg_head.layer_4.weight": Evil(marker)}}
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    error = convert(path, tmp_path / "ours.pth", ok=False)
    assert f"{path} is refused" in error
    assert ".mkdir" in error
    assert not marker.exists()


@pytest.mark.parametrize("what", [torch.zeros(1), {1}, print, np.random.RandomState(0)])
def test_pickles_hold_arrays_and_plain_containers_only(what, tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": what}}, protocol=2))
    with pytest.raises(CheckpointError, match="is refused: it asks for"):
        read_weights(path)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(protocol, tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2), "c": np.zeros((0, 2), "i8")}
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "matching_heuristics": True}, protocol))
    weights, _ = read_weights(path)
    assert weights["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights["b"].item() == 2
    assert weights["c"].shape == (0, 2)


def write_bad(path, kind, good):
    data = good.read_bytes()
    content = {
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "text": b"<html>404 Not Found</html>",
        "no dict": pickle.dumps([np.zeros(2)]),
        "no arrays": pickle.dumps({"model": {}}),
        "objects": pickle.dumps({"model": {"a": np.array([None])}}),
        "foreign": pickle.dumps({"model": {"encoder.weight": np.zeros(2)}}),
    }
    path.write_bytes(content[kind])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "damaged"),
        ("empty", "damaged"),
        ("text", "damaged"),
        ("no dict", "holds no weights"),
        ("no arrays", "holds no weights"),
        ("objects", "asks for arrays of type 'O8'"),
        ("foreign", "encoder.weight belong to no implementation"),
    ],
)
def test_bad_files(convert, kind, message, released, tmp_path):
    path = tmp_path / "bad.pkl"
    write_bad(path, kind, released)
    error = convert(path, tmp_path / "ours.pth", ok=False)
    assert str(path) in error
    assert message in error
    assert not (tmp_path / "ours.pth").exists()


def test_missing_file(convert, tmp_path):
    assert "can not be found" in convert(tmp_path / "no.pkl", tmp_path / "o.pth", ok=False)


def test_truncated_torch_file(tmp_path):
    torch.save({"model": {"a": torch.zeros(1000)}}, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[:-500])
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(tmp_path / "a.pth")


def test_missing_extra_and_misshapen_weights_are_named(model):
    arrays = original_weights(model.state_dict())["model"]
    weights = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    gone = dict(weights)
    gone.pop("sem_seg_head.layer_2.weight")
    with pytest.raises(CheckpointError, match=r"output_convs\.1\.conv\.weight is missing"):
        convert_checked(gone)
    other = {**weights, "sem_seg_head.layer_2.norm.bias": torch.zeros(7)}
    with pytest.raises(CheckpointError, match=r"norm\.bias is \(7,\) instead of \(128,\)"):
        convert_checked(other)
    headless = {n: t for n, t in weights.items() if n.startswith("backbone")}
    with pytest.raises(CheckpointError, match="without a head|no implementation"):
        convert_checked(headless)


LISTS = sorted((ROOT.parent / "shared/reference/state_dicts").glob("*.json"))


@pytest.mark.parametrize("path", LISTS, ids=lambda p: p.stem)
def test_every_released_model_is_recognised_and_complete(path):
    """In both spellings; the check against our model's names and shapes is the converter's."""
    listed = json.loads(path.read_text())
    tensors = {
        name: torch.empty(value["shape"], dtype=getattr(torch, value["dtype"]), device="meta")
        for name, value in listed["state_dict"].items()
    }
    released = {listed["released_pkl_name"].get(n, n): t for n, t in tensors.items()}
    results = [convert_checked(weights) for weights in (tensors, released)]
    assert results[0].conversion.state_dict.keys() == results[1].conversion.state_dict.keys()
    for result in results:
        assert result.num_classes in (19, 65, 133, 150, 171, 847)
        assert not result.unfilled
        assert set(result.conversion.unused) <= {"criterion.empty_weight"}


def test_safetensors(model, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="needs extra dev")
    arrays = original_weights(model.state_dict())["model"]
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


def test_head_without_backbone_is_refused(model):
    weights = {n: t for n, t in model.state_dict().items() if n.startswith("decode_head")}
    with pytest.raises(CheckpointError, match="without a known backbone"):
        convert_checked(weights)


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


def test_entries_that_are_no_arrays_are_named(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1), "epoch": 3}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="entries that are no arrays: epoch"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.bool_])
def test_types_of_arrays_are_kept(dtype, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.ones(3, dtype)}))
    weights, _ = read_weights(tmp_path / "a.pkl")
    assert weights["a"].numpy().dtype == dtype


def test_pickles_of_python_2(tmp_path):
    """They hold bytes as text, not always of ASCII."""
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02}U\x01aU\x01\xe9s.")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(path)


def test_nothing_is_left_where_writing_fails(convert, released, tmp_path):
    folder = tmp_path / "is_a_folder.pth"
    folder.mkdir()
    assert "is_a_folder.pth" in convert(released, folder, ok=False)
    assert sorted(os.listdir(tmp_path)) == sorted(["is_a_folder.pth", released.name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("sem_seg_head.predictor.query_embed.weight"), "incomplete or misshapen"),
        (
            lambda w: w.pop("sem_seg_head.predictor.transformer.decoder.layers.0.linear1.weight"),
            "incomplete or misshapen",
        ),
        (lambda w: w.update({"sem_seg_head.mask_features.weight": torch.zeros(3)}), "misshapen"),
        (
            lambda w: [
                w.pop(f"sem_seg_head.predictor.class_embed.{k}") for k in ("weight", "bias")
            ],
            "lacks the classifier of its queries",
        ),
        (
            lambda w: w.update({"sem_seg_head.pixel_decoder.layer_4.weight": torch.zeros(1)}),
            "layer_4.weight and sem_seg_head.pixel_decoder.layer_4.weight are the same",
        ),
        (
            lambda w: w["sem_seg_head.layer_4.weight"].fill_(float("nan")),
            "output_convs.3.conv.weight is not finite",
        ),
        (
            lambda w: w.update({"sem_seg_head.mask_features.bias": torch.ones(128).long()}),
            "mask_features.bias is of type torch.int64",
        ),
    ],
)
def test_odd_weights_are_named(change, message, model):
    arrays = original_weights(model.state_dict())["model"]
    weights = {name: torch.tensor(array) for name, array in arrays.items()}
    change(weights)
    with pytest.raises(CheckpointError, match=message):
        convert_checked(weights)


def test_what_else_a_file_holds_is_named(convert, model, tmp_path):
    content = {**original_weights(model.state_dict()), "iteration": 7, "ema_state_dict": {}}
    content["model"] = {n: torch.tensor(a) for n, a in content["model"].items()}
    torch.save(content, tmp_path / "model_final.pth")
    output = convert(tmp_path / "model_final.pth", tmp_path / "ours.pth")
    assert "not used: __author__, iteration, ema_state_dict beside the weights" in output
    assert "attention heads can not be seen in weights; 8" in output


def test_source_is_not_overwritten(convert, released, tmp_path):
    link = tmp_path / "link.pkl"
    link.symlink_to(released)
    content = released.read_bytes()
    for target in (released, link):
        assert "is SRC itself" in convert(released, target, ok=False)
    assert "must be a file's name" in convert(released, "", ok=False)
    assert released.read_bytes() == content


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


def test_compressed_files_and_folders(tmp_path):
    (tmp_path / "a.pkl").write_bytes(gzip.compress(b"x"))
    with pytest.raises(CheckpointError, match="is compressed; unpack it first"):
        read_weights(tmp_path / "a.pkl")
    with pytest.raises(FileNotFoundError, match="or are no file"):
        read_weights(tmp_path)


@pytest.mark.parametrize("text", ["model = (", "optimizer = 3"])
def test_configs_without_a_model(text, convert, released, tmp_path):
    (tmp_path / "bad.py").write_text(text)
    error = convert(released, tmp_path / "o.pth", "--config", tmp_path / "bad.py", ok=False)
    assert "is no config with a model" in error
