"""The notebook, cell by cell, with a model of random weights and an image that was just made."""

import ast
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmmaskformer.datasets import ShapesPanopticDataset
from mmmaskformer.inference import Prediction
from tests.conftest import ROOT, build_without_weights

NOTEBOOK = ROOT / "demo/predict.ipynb"
MODEL = "maskformer_r18_shapes-panoptic"


def run_cell(source, names):
    """Run a cell; the value of its last line, if that is an expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return last and eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


@pytest.fixture
def checkpoint(tmp_path):
    """Random weights, but sure of something: the class logits are large."""
    torch.manual_seed(1)
    model = build_without_weights(MODEL)
    for name, values in model.named_parameters():
        if "class_embed" in name:
            values.data *= 30
    meta = {"dataset_meta": dict(ShapesPanopticDataset.METAINFO)}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def test_the_notebook_runs_from_top_to_bottom(tmp_path, checkpoint, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image = np.random.RandomState(0).randint(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    cells = [
        "".join(cell["source"])
        for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    settings = dict(MODEL=MODEL, CHECKPOINT=str(checkpoint), PHOTO="photo.png")
    names = {}
    run_cell(cells[0], names)
    assert set(settings) == set(names) - {"__builtins__"}
    assert names["MODEL"] in names["CHECKPOINT"]
    assert (ROOT / f"configs/{names['MODEL']}.py").is_file()
    names.update(settings)
    shown = [run_cell(cell, names) for cell in cells[1:]]
    pictures = [value for value in shown if value is not None]
    assert isinstance(pictures[0], Prediction)
    for prediction in pictures[:2]:
        assert prediction._repr_png_().startswith(b"\x89PNG")
    assert pictures[2].width >= 80
    prediction = names["prediction"]
    assert len(prediction.panoptic.segments) > 0
    assert np.array_equal(prediction.image, image)
    output = capsys.readouterr().out
    assert "(60, 80) int64" in output
    assert f"{len(prediction.panoptic.segments)} annotations" in output
    found = Image.open(tmp_path / "results/photo_labels.png")
    assert np.array_equal(found, prediction.semantic)
