"""Files that the converter refuses: one clear line each, and nothing written."""

import gzip
import os
import pickle

import numpy as np
import pytest
import torch
from mmseg.utils import register_all_modules

from mmmaskformer.checkpoints.conversion import convert_checked, read_weights
from mmmaskformer.checkpoints.naming import CheckpointError
from tests.checkpoints.original_format import original_weights
from tests.commands import python
from tests.conftest import ROOT

register_all_modules()


def test_command_line_has_no_traceback(tmp_path):
    (tmp_path / "bad.pkl").write_text("<html>")
    command = "tools/convert_weights.py", tmp_path / "bad.pkl", tmp_path / "ours.pth"
    (line,) = python(*command, ok=False).splitlines()
    assert line.startswith("error: ")
    assert "bad.pkl" in line


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


@pytest.mark.parametrize("what", [torch.zeros(1), print, np.random.RandomState(0)])
def test_pickles_hold_arrays_and_plain_containers_only(what, tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": what}}, protocol=2))
    with pytest.raises(CheckpointError, match="is refused: it asks for"):
        read_weights(path)


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


def test_missing_extra_and_misshapen_weights_are_named(small_model):
    arrays = original_weights(small_model.state_dict())["model"]
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


def test_head_without_backbone_is_refused(small_model):
    weights = {n: t for n, t in small_model.state_dict().items() if n.startswith("decode_head")}
    with pytest.raises(CheckpointError, match="without a known backbone"):
        convert_checked(weights)


def test_entries_that_are_no_arrays_are_named(tmp_path):
    for strange in (3, {1}):
        torch.save({"state_dict": {"a": torch.zeros(1), "epoch": strange}}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match="entries that are no arrays: epoch"):
            read_weights(tmp_path / "a.pth")


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
def test_odd_weights_are_named(change, message, small_model):
    arrays = original_weights(small_model.state_dict())["model"]
    weights = {name: torch.tensor(array) for name, array in arrays.items()}
    change(weights)
    with pytest.raises(CheckpointError, match=message):
        convert_checked(weights)


def test_source_is_not_overwritten(convert, released, tmp_path):
    link = tmp_path / "link.pkl"
    link.symlink_to(released)
    content = released.read_bytes()
    for target in (released, link):
        assert "is SRC itself" in convert(released, target, ok=False)
    assert "must be a file's name" in convert(released, "", ok=False)
    assert released.read_bytes() == content


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
