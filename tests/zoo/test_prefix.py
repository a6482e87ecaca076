"""`mmmaskformer::NAME.py` in mmengine's configs."""

import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from mmmaskformer.zoo import releases
from tests.conftest import ROOT, load_config

NAME = "maskformer_r50_ade20k"
OURS = f"mmmaskformer::{NAME}.py"


def test_fromfile_and_get_config_give_the_config_of_the_package():
    wanted = load_config(NAME).to_dict()
    assert Config.fromfile(OURS).to_dict() == wanted
    assert get_config(OURS).to_dict() == wanted
    assert get_config(OURS.removesuffix(".py")).to_dict() == wanted


def test_a_config_elsewhere_inherits(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(f"_base_ = {OURS!r}\ntrain_dataloader = dict(batch_size=3)\n")
    wanted = load_config(NAME)
    wanted.train_dataloader.batch_size = 3
    found = Config.fromfile(mine)
    assert found.to_dict() == wanted.to_dict()
    assert "_scope_" not in found.pretty_text  # types of mmseg are found as they are in our files
    mine.write_text("_base_ = ['mmmaskformer::_base_/models/maskformer_r50.py']")
    base = Config.fromfile(ROOT / "configs/_base_/models/maskformer_r50.py")
    assert Config.fromfile(mine).to_dict() == base.to_dict()


def test_other_packages_are_found_as_before(tmp_path):
    name = "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py"
    assert get_config(name).model.decode_head.type == "UPerHead"
    (tmp_path / "mine.py").write_text(f"_base_ = {name!r}")
    assert Config.fromfile(tmp_path / "mine.py").model._scope_ == "mmseg"


def test_the_nearest_name_is_in_the_error(tmp_path):
    (tmp_path / "mine.py").write_text("_base_ = 'mmmaskformer::maskformer_r50_ade20.py'")
    with pytest.raises(FileNotFoundError, match=f"'mmmaskformer::.*instance {NAME}"):
        Config.fromfile(tmp_path / "mine.py")


def test_pretrained_names_the_converted_weights(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(releases, "weights", lambda path: asked.append(path) or tmp_path / "a.pth")
    assert get_config(OURS, pretrained=True).model_path == str(tmp_path / "a.pth")
    assert asked[0].endswith(f"{NAME}.py")


@pytest.mark.parametrize("first", ["mmmaskformer", "mmengine.hub"])
def test_the_order_of_imports_does_not_matter(first):
    code = f"""
import {first}
import mmmaskformer
import mmengine.hub
print(mmengine.hub.get_config({OURS!r}).model.type)
print(mmengine.hub.hub.get_config({OURS!r}).model.type)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["mmmaskformer.MaskFormer"] * 2, done.stderr[-2000:]
