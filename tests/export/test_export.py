"""Exported files: they exist only if they give what the model gives."""

import copy
import json
import os
import sys

import numpy as np
import pytest
import torch

from mmmaskformer.cli.main import main
from mmmaskformer.core import GeneralFusion
from mmmaskformer.deploy.metadata import KEY
from mmmaskformer.deploy.runner import open_session
from mmmaskformer.export import export, exporting, formats
from mmmaskformer.export.description import describe
from mmmaskformer.export.module import eager_outputs
from mmmaskformer.zoo import load
from tests.commands import mistake
from tests.export.models import SMALL


@pytest.fixture
def untraced(monkeypatch):
    """A format whose files run the module itself; the shapes of the images that it gets."""
    modules, shapes = [], []

    def write(module, outputs, meta, path):
        modules.append(module)
        path.write_text(meta)

    def run(path):
        def call(images):
            shapes.append(images.shape)
            return [out.detach().numpy() for out in modules[-1](torch.from_numpy(images))]

        return call

    monkeypatch.setattr(exporting, "trace", lambda module: module)
    monkeypatch.setitem(exporting.FORMATS, "pt2", (write, run))
    return shapes


def change_outputs(monkeypatch, change):
    """Let the model itself give something else."""

    def changed(*args):
        return [change(out) for out in eager_outputs(*args)]

    monkeypatch.setattr(exporting, "eager_outputs", changed)


def test_an_export_is_verified_at_two_sizes_and_two_batch_sizes(sure_model, untraced, tmp_path):
    found = export(sure_model, tmp_path / "new/model.pt2", "pt2")
    assert set(found) == {"class_logits", "mask_logits"}
    assert all(value < 1e-5 for value in found.values())
    assert untraced == [(b, 3, *s) for s in ((288, 352), (352, 288)) for b in (1, 3)]
    assert json.loads((tmp_path / "new/model.pt2").read_text()) == describe(sure_model)
    assert os.listdir(tmp_path / "new") == ["model.pt2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: out * 1.001, r"class_logits of 1 images of 288x352 .* differs .* by 1\.0e-03"),
        (lambda out: out * float("nan"), "differs from the model by nan"),
        (lambda out: out[..., :-1], r"gives \(1, 20, 11\), the model \(1, 20, 10\)"),
    ],
)
def test_an_export_that_differs_is_not_there(
    sure_model, untraced, tmp_path, monkeypatch, change, message
):
    change_outputs(monkeypatch, change)
    (tmp_path / "old.pt2").write_text("old")
    for name in ("model.pt2", "old.pt2"):
        with pytest.raises(ValueError, match=message):
            export(sure_model, tmp_path / name, "pt2")
    assert os.listdir(tmp_path) == ["old.pt2"]
    assert (tmp_path / "old.pt2").read_text() == "old"


def test_a_tenth_of_the_tolerance_passes(sure_model, untraced, tmp_path, monkeypatch):
    change_outputs(monkeypatch, lambda out: out * (1 + 1e-5))
    assert export(sure_model, tmp_path / "a", "pt2")["class_logits"] == pytest.approx(1e-5, rel=0.3)


def test_other_formats_and_scores_are_refused(sure_model, tmp_path):
    with pytest.raises(ValueError, match="the format is 'tflite'; wanted one of onnx, pt2, aot"):
        export(sure_model, tmp_path / "a", "tflite")
    general = copy.copy(sure_model)
    general._modules = {**sure_model._modules, "decode_head": copy.copy(sure_model.decode_head)}
    general.decode_head.fusion = GeneralFusion()
    with pytest.raises(ValueError, match="scores are those of SemanticFusion, not GeneralFusion"):
        export(general, tmp_path / "a", "pt2", scores=True)
    assert os.listdir(tmp_path) == []


def test_models_in_training_and_elsewhere_are_refused(sure_model, tmp_path):
    model = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="is in training mode on cpu; wanted evaluation on the"):
        export(model, tmp_path / "a", "pt2")
    with pytest.raises(ValueError, match="is in evaluation mode on meta; wanted evaluation on"):
        export(model.eval().to("meta"), tmp_path / "a", "pt2")


def test_missing_packages_are_named(sure_model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        exporting.importlib.util, "find_spec", lambda name: "there" if name == "onnx" else None
    )
    with pytest.raises(ImportError, match="needs onnxscript and onnxruntime; pip install"):
        export(sure_model, tmp_path / "a", "onnx")


def test_an_old_torch_is_named(sure_model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(ImportError, match="need torch 2.13 or later, .* found 2.9.1"):
        export(sure_model, tmp_path / "a", "pt2")


def test_a_missing_compiler_is_named(sure_model, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "trace", lambda module: module)
    nowhere = torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")})
    with nowhere, pytest.raises(ValueError, match="needs a C.. compiler, and none was found"):
        export(sure_model, tmp_path / "a", "aot")
    assert os.listdir(tmp_path) == []


def test_weights_above_two_gigabytes_are_refused(monkeypatch, tmp_path):
    class Program:
        state_dict = {"weight": torch.empty(1 << 29, device="meta")}

    with pytest.raises(ValueError, match=r"weights have 2\.1 GB, and an ONNX file holds 2 GB"):
        formats.write_onnx(Program, [], "{}", tmp_path / "a")


def test_the_backbone_that_pins_a_size_is_named(sure_model):
    module = exporting.ExportedMaskFormer(sure_model).eval()

    def pinned(x):
        return x.mean() * (len(x) + x.shape[2])

    module.forward = pinned
    with pytest.raises(ValueError, match="the backbone ResNet can not be exported for inputs"):
        exporting.trace(module)


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["mmmaskformer", "export", *map(str, arguments)])


def test_the_command(untraced, tmp_path, monkeypatch, capsys):
    out = tmp_path / "model.pt2"
    options = ("--format", "pt2", "--out", out, "--scores")
    command(monkeypatch, "--model", SMALL, "--checkpoint", "random", *options)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    text = capsys.readouterr().out.splitlines()[-1]
    assert text.startswith(f"{out}: 0 MB, verified; largest differences from the model: class_log")
    assert "scores" in text
    assert out.is_file()


def test_mistakes_of_the_command(tmp_path, monkeypatch, capsys):
    weights = tmp_path / "weights.pth"
    weights.write_text("")
    options = ("--model", SMALL, "--checkpoint", weights)
    command(monkeypatch, *options, "--out", weights)
    assert "would write over" in mistake(capsys, main)
    command(monkeypatch, *options, "--out", tmp_path)
    assert f"--out {tmp_path} is a folder; wanted the name of a file" in mistake(capsys, main)
    command(monkeypatch, *options, "--out", tmp_path / "a", "--format", "tflite")
    assert "invalid choice: 'tflite'" in mistake(capsys, main)


@pytest.mark.slow
def test_the_onnx_file(onnx_file, sure_model):
    session = open_session(onnx_file)
    (image,) = session.get_inputs()
    assert (image.name, image.shape, image.type) == (
        "image",
        ["batch", 3, "height", "width"],
        "tensor(float)",
    )
    logits, masks = session.get_outputs()
    assert (logits.name, logits.shape) == ("class_logits", ["batch", 20, 11])
    assert (masks.name, masks.shape[:2]) == ("mask_logits", ["batch", 20])
    values = session.get_modelmeta().custom_metadata_map
    assert json.loads(values[KEY]) == describe(sure_model)
    # Neither the traced shape nor a verified one; the smallest that the divisor allows.
    for shape in ((2, 3, 96, 320), (5, 3, 64, 32), (1, 3, 32, 32)):
        images = torch.randint(256, shape, dtype=torch.uint8)
        found = session.run(None, {"image": images.float().numpy()})
        for one, other in zip(found, eager_outputs(sure_model, list(images), False), strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4 * max(1, np.abs(one).max()))
    assert os.listdir(onnx_file.parent) == [onnx_file.name]


@pytest.mark.slow
def test_the_program_of_torch_export(sure_model, tmp_path):
    path = tmp_path / "model.pt2"
    export(sure_model, path, "pt2", scores=True)
    extra = {KEY: ""}
    with open(path, "rb") as file:
        module = torch.export.load(file, extra_files=extra).module()
    assert json.loads(extra[KEY]) == describe(sure_model)
    images = torch.randint(256, (4, 3, 64, 96), dtype=torch.uint8)
    found = module(images.float())
    assert found[2].shape == (4, 10, 64, 96)
    for one, other in zip(found, eager_outputs(sure_model, list(images), True), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


@pytest.mark.long
def test_the_package_of_aotinductor(sure_model, tmp_path):
    path = tmp_path / "model.pt2"
    assert max(export(sure_model, path, "aot").values()) < 1e-4
    package = torch._inductor.aoti_load_package(str(path))
    assert json.loads(package.get_metadata()[KEY]) == describe(sure_model)
    found = package(torch.zeros(2, 3, 64, 96))
    assert [tuple(part.shape) for part in found] == [(2, 20, 11), (2, 20, 16, 24)]


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "maskformer_r50_coco-panoptic",
        "maskformer_swin-t_coco-panoptic",
        "maskformer_efflite0_camvid",
    ],
)
def test_the_models_of_the_paper(name, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs extra export")
    torch.manual_seed(0)
    assert max(export(load(name, "random", device="cpu"), tmp_path / "a.onnx").values()) < 1e-4
