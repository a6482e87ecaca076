"""Tools under the options of mmseg's scripts, and what tools/test.py leaves out of a config."""

import runpy
import sys

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from tests.commands import mistake
from tests.conftest import ROOT, load_config

TRUTH = np.array([[0, 0, 1, 1, 2, 2, 255, 255]], np.uint8)
FOUND = np.array([[0, 1, 1, 1, 2, 0, 2, 2]], np.uint8)


def start(monkeypatch, tool, *arguments):
    monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
    runpy.run_path(str(ROOT / f"tools/{tool}.py"), run_name="__main__")


@pytest.fixture
def folder(tmp_path):
    """Two images of a dataset of three classes, and predictions for them, beside a config."""
    for name in ("images", "annotations", "out"):
        (tmp_path / name).mkdir()
    for i in range(2):
        Image.new("RGB", (8, 1)).save(tmp_path / f"images/{i}.jpg")
        Image.fromarray(TRUTH).save(tmp_path / f"annotations/{i}.png")
        Image.fromarray(FOUND).save(tmp_path / f"out/{i}.png")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    cfg = load_config("maskformer_r18_shapes")
    cfg.test_dataloader.dataset = dict(
        type="mmmaskformer.FolderDataset",
        data_root=str(tmp_path),
        data_prefix=dict(img_path="images", seg_map_path="annotations"),
    )
    cfg.dump(tmp_path / "mine.py")
    return tmp_path


def matrix(folder):
    return np.loadtxt(folder / "cm/confusion_matrix.csv", delimiter=",")


def test_confusion_matrix_is_that_of_the_files(folder, monkeypatch):
    arguments = [folder / "mine.py", folder / "out", folder / "cm"]
    start(monkeypatch, "confusion_matrix", *arguments)
    assert matrix(folder).tolist() == [[50, 50, 0], [0, 100, 0], [50, 0, 50]]
    assert Image.open(folder / "cm/confusion_matrix.png").size[0] > 300


def test_confusion_matrix_undoes_reduce_zero_label(folder, monkeypatch):
    """tools/test.py --out adds the one that loading takes away."""
    for i in range(2):
        Image.fromarray(np.where(TRUTH == 255, 0, TRUTH + 1).astype(np.uint8)).save(
            folder / f"annotations/{i}.png"
        )
        Image.fromarray(FOUND + 1).save(folder / f"out/{i}.png")
    arguments = [folder / "mine.py", folder / "out", folder / "cm", "--cfg-options"]
    start(
        monkeypatch,
        "confusion_matrix",
        *arguments,
        "test_dataloader.dataset.reduce_zero_label=True",
    )
    assert matrix(folder).tolist() == [[50, 50, 0], [0, 100, 0], [50, 0, 50]]


def test_confusion_matrix_names_what_does_not_fit(folder, monkeypatch, capsys):
    arguments = ["confusion_matrix", folder / "mine.py", folder / "out", folder / "cm"]
    Image.fromarray(FOUND + 7).save(folder / "out/1.png")
    line = mistake(capsys, start, monkeypatch, *arguments)
    assert line == f"error: {folder}/out/1.png has classes from 7 to 9; wanted 0 to 2"
    Image.fromarray(FOUND[:, :4]).save(folder / "out/1.png")
    line = mistake(capsys, start, monkeypatch, *arguments)
    assert line.startswith(f"error: {folder}/out/1.png is (1, 4), but its truth ")
    (folder / "out/1.png").unlink()
    assert f"{folder}/out/1.png" in mistake(capsys, start, monkeypatch, *arguments)


def test_flops_are_those_of_the_benchmark(monkeypatch, capsys):
    config = ROOT / "configs/maskformer_r18_shapes.py"
    start(monkeypatch, "get_flops", config, "--shape", "64")
    text = capsys.readouterr().out
    assert "Input shape: (64, 64)\n" in text
    assert float(text.split("Flops: ")[1].split("G")[0]) > 0.1
    line = mistake(capsys, start, monkeypatch, "get_flops", config, "--shape", "0")
    assert line == "error: --shape must be one or two numbers above 0, got [0]"


def test_scripts_of_others_are_listed_and_run(monkeypatch, capsys, tmp_path):
    start(monkeypatch, "openmmlab", "mmseg")
    assert "analysis_tools/browse_dataset.py" in capsys.readouterr().out.splitlines()
    line = mistake(capsys, start, monkeypatch, "openmmlab", "mmpose")
    assert line == "error: no scripts of 'mmpose' are known; wanted mmseg or mmdet"
    with pytest.raises(SystemExit, match="0"):
        start(monkeypatch, "openmmlab", "mmseg", "analysis_tools/get_flops.py", "--help")
    assert "--shape" in capsys.readouterr().out


def test_hooks_that_only_train_are_left_out_of_testing():
    tool = runpy.run_path(str(ROOT / "tools/test.py"))
    names = {
        "EarlyStoppingHook": dict(monitor="mIoU"),
        "ProfilerHook": {},
        "SyncBuffersHook": {},
        "EMAHook": {},
        "EmptyCacheHook": {},
        "PrepareTTAHook": dict(tta_cfg={}),
    }
    cfg = Config(dict(custom_hooks=[dict(type=name, **more) for name, more in names.items()]))
    tool["forget_training"](cfg)
    assert [hook.type for hook in cfg.custom_hooks] == [
        "EMAHook",
        "EmptyCacheHook",
        "PrepareTTAHook",
    ]


@pytest.mark.parametrize(
    ("options", "searches"), [({}, False), ({"env_cfg.cudnn_benchmark": True}, True)]
)
def test_testing_does_not_search_for_algorithms(options, searches):
    tool = runpy.run_path(str(ROOT / "tools/test.py"), run_name="tool")
    cfg = Config(dict(env_cfg=dict(cudnn_benchmark=True, mp_cfg=dict())))
    tool["expect_many_sizes"](cfg, options)
    assert cfg.env_cfg == dict(cudnn_benchmark=searches, mp_cfg=dict())
