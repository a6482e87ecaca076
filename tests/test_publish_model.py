"""Checkpoints made ready to publish."""

import hashlib

import pytest
import torch

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from tests.commands import python


@pytest.fixture
def trained(tmp_path):
    weights = {"a.weight": torch.tensor([1.0, 1 / 3]), "a.count": torch.tensor(7)}
    meta = {"dataset_meta": {"classes": ("sky", "road")}, "iter": 5, "cfg": "work_dir = '/home'"}
    path = tmp_path / "iter_5.pth"
    torch.save({"state_dict": weights, "meta": meta, "optimizer": {"state": {}}}, path)
    return path


def test_weights_are_halved_and_training_is_left_out(trained, tmp_path):
    output = python("tools/publish_model.py", trained, tmp_path / "out/model")
    (path,) = (tmp_path / "out").iterdir()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"model-{digest[:8]}.pth"
    assert digest in output
    content = load_checkpoint_file(path)
    assert set(content) == {"meta", "state_dict", "checksum"}
    assert content["meta"] == {"dataset_meta": {"classes": ("sky", "road")}, "iter": 5}
    assert content["state_dict"]["a.weight"].tolist() == [1.0, 0.333251953125]
    assert content["state_dict"]["a.weight"].dtype == torch.float16
    assert content["state_dict"]["a.count"].dtype == torch.int64


def test_single_precision_can_be_kept(trained, tmp_path):
    python("tools/publish_model.py", trained, tmp_path / "model", "--full")
    (path,) = tmp_path.glob("model-*.pth")
    weight = load_checkpoint_file(path)["state_dict"]["a.weight"]
    assert weight.equal(torch.tensor([1.0, 1 / 3]))


def test_a_weight_too_large_for_half_precision_is_named(tmp_path):
    path = tmp_path / "large.pth"
    torch.save({"state_dict": {"b": torch.tensor([1e6])}, "meta": {}}, path)
    output = python("tools/publish_model.py", path, tmp_path / "model", ok=False)
    assert "large.pth: b has values that half precision does not hold" in output
    assert not list(tmp_path.glob("model*"))
