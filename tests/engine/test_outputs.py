"""Where results go, and which checkpoints are scored or trained from."""

import math
import os
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmmaskformer.engine.outputs import check_outputs, dataset_folders
from mmmaskformer.engine.runner import CheckWeights, build_runner
from mmmaskformer.registry import METRICS, VISUALIZERS
from tests.conftest import ROOT

META = dict(classes=("a", "b"), palette=[[1, 2, 3], [4, 5, 6]])


class Names:
    """A dataset of nothing but names."""

    def __init__(self, *paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return {"img_path": self.paths[index]}


def tell(names, *writers, split="test"):
    visualizer = VISUALIZERS.build(
        dict(
            type="mmmaskformer.PanopticSegVisualizer",
            name=f"v{id(names)}",
            vis_backends=[dict(type="LocalVisBackend")],
            save_dir=writers[0].output_dir,
        )
    )
    visualizer.dataset_meta = META
    loop = SimpleNamespace(
        evaluator=SimpleNamespace(metrics=list(writers)), dataloader=SimpleNamespace(dataset=names)
    )
    runner = SimpleNamespace(visualizer=visualizer, **{f"{split}_loop": loop})
    hook = HOOKS.build(dict(type="mmmaskformer.KeepFolders"))
    getattr(hook, f"before_{split}_epoch")(runner)
    return visualizer


def iou_metric(folder):
    metric = METRICS.build(
        dict(type="mmmaskformer.IoUMetric", format_only=True, output_dir=str(folder))
    )
    metric.dataset_meta = META
    return metric


def write(metric, *paths):
    data = dict(data=torch.zeros(1, 4, 5, dtype=torch.int64))
    metric.process({}, [dict(img_path=path, pred_sem_seg=data) for path in paths])


@pytest.mark.parametrize("split", ["val", "test"])
def test_images_of_one_name_keep_their_folders(tmp_path, split):
    metric = iou_metric(tmp_path)
    paths = [f"d/images/{name}.jpg" for name in ("s0/1", "s1/1", "2")]
    visualizer = tell(Names(*paths), metric, split=split)
    write(metric, *paths)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")} == {
        "s0/1.png",
        "s1/1.png",
        "2.png",
    }
    image = np.zeros((4, 5, 3), np.uint8)
    for path in paths:
        sample = SegDataSample(metainfo=dict(img_path=path))
        sample.pred_sem_seg = PixelData(data=torch.zeros(1, 4, 5, dtype=torch.int64))
        visualizer.add_datasample("test_" + path.split("/")[-1], image, sample, draw_gt=False)
    folder = tmp_path / "vis_data/vis_image"
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.png")} == {
        "s0/test_1.jpg_0.png",
        "s1/test_1.jpg_0.png",
        "test_2.jpg_0.png",
    }


def test_other_images_stay_in_one_folder(tmp_path):
    metric = iou_metric(tmp_path)
    paths = ["d/images/s0/1.jpg", "d/images/s1/2.jpg"]
    tell(Names(*paths), metric)
    write(metric, *paths, paths[0])
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["1.png", "2.png"]


def test_without_the_hook_a_second_image_of_a_name_is_refused(tmp_path):
    metric = iou_metric(tmp_path)
    with pytest.raises(ValueError, match=r"s1/1\.jpg and s0/1\.jpg would be .*KeepFolders"):
        write(metric, "s0/1.jpg", "s1/1.jpg")


def test_every_config_keeps_folders():
    cfg = Config.fromfile(ROOT / "configs/maskformer_r18_shapes.py")
    assert dict(type="mmmaskformer.KeepFolders") in cfg.custom_hooks


def test_outputs_among_the_files_of_any_split(tmp_path):
    cfg = Config.fromfile(ROOT / "configs/maskformer_r18_shapes.py")
    folders = set(dataset_folders(cfg))
    assert "data/shapes/annotations/train" in folders
    assert "data/shapes/images/val" in folders
    check_outputs({"--out": str(tmp_path), "--show-dir": None}, cfg, "a.py", "b.pth")
    for target in ("data/shapes/annotations/train", "data/shapes/images/val/x", "data"):
        with pytest.raises(ValueError, match=rf"^--show-dir {target} would write among"):
            check_outputs({"--out": None, "--show-dir": target}, cfg)
    with pytest.raises(ValueError, match=r"^--out b\.pth would write over"):
        check_outputs({"--out": "b.pth"}, cfg, "a.py", "b.pth")


def load(weights, partly=True, resume=False):
    model = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    runner = SimpleNamespace(
        model=model,
        _load_from="a.pth",
        _resume=resume,
        cfg=SimpleNamespace(filename="b.py"),
    )
    CheckWeights(partly).after_load_checkpoint(runner, {"state_dict": weights(model.state_dict())})


def foreign(weights):
    return {"other": torch.zeros(2)}


def another_head(weights):
    return {**weights, "head.weight": torch.zeros(3, 2), "extra": torch.zeros(1)}


def diverged(weights):
    return {**weights, "head.bias": torch.tensor([1.0, math.nan])}


def test_training_from_a_file_in_which_nothing_fits_is_refused():
    with pytest.raises(ValueError, match=r"load_from a\.pth: 0 of the model's 4 weights .*: other"):
        load(foreign)


def test_training_from_a_part_says_what_does_not_fit(monkeypatch):
    said = []
    monkeypatch.setattr("mmmaskformer.engine.fit.print_log", lambda text, *rest: said.append(text))
    load(another_head)
    load(dict)
    assert said == [
        "load_from a.pth: 3 of the model's 4 weights are in it; not: head.weight is (3, 2) "
        "instead of (2, 2)"
    ]


@pytest.mark.parametrize("partly", [True, False])
def test_weights_that_are_not_finite_are_refused(partly):
    with pytest.raises(ValueError, match=r"checkpoint a\.pth has NaN or .*: head\.bias$"):
        load(diverged, partly)


def numbered(weights):
    return dict(enumerate(weights.values()))


def arrays(weights):
    return {name: weight.numpy() for name, weight in weights.items()}


def imaginary(weights):
    return {name: weight * 1j for name, weight in weights.items()}


def quantised(weights):
    return {name: weight.to(torch.int8) for name, weight in weights.items()}


@pytest.mark.parametrize("partly", [True, False])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (numbered, "the names of weights must be text, got 0"),
        (arrays, "backbone.weight is of type ndarray; wanted a tensor"),
        (imaginary, "backbone.weight is of torch.complex64; wanted torch.float32 or the like"),
        (quantised, "backbone.weight is of torch.int8; wanted torch.float32 or the like"),
    ],
)
def test_what_is_no_weight_of_the_kind_that_is_wanted(weights, message, partly):
    with pytest.raises(ValueError, match="checkpoint") as caught:
        load(weights, partly)
    assert str(caught.value) == f"checkpoint a.pth: {message}"


def test_weights_of_half_precision_and_arrays_elsewhere_are_taken():
    load(lambda w: {**{name: x.half() for name, x in w.items()}, "extra": np.ones(1)})


def test_a_work_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "taken").touch()
    cfg = Config(dict(work_dir=str(tmp_path / "taken"), launcher="none"))
    with pytest.raises(ValueError, match="wanted a folder") as caught:
        build_runner(cfg)
    taken = tmp_path / "taken"
    assert (
        str(caught.value) == f"work_dir {taken} can not be made: {taken} is a file; wanted a folder"
    )


def test_what_is_resumed_must_fit():
    load(dict, resume=True)
    with pytest.raises(ValueError, match="does not fit the config"):
        load(another_head, resume=True)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("test.py", ["CONFIG", "a.pth", "--out", "AMONG"]),
        ("test.py", ["CONFIG", "a.pth", "--show-dir", "AMONG"]),
        ("check_dataset.py", ["CONFIG", "--workers", "1", "--out", "AMONG"]),
        ("benchmark.py", ["CONFIG", "--device", "cpu", "--out", "AMONG"]),
        ("convert_weights.py", ["README.md", "CONFIG", "--config", "CONFIG"]),
    ],
)
def test_tools_do_not_write_among_what_they_read(monkeypatch, tool, arguments):
    config = str(ROOT / "configs/maskformer_r18_shapes.py")
    named = {"CONFIG": config, "AMONG": "data/shapes/annotations/val"}
    monkeypatch.setattr("sys.argv", [tool, *(named.get(word, word) for word in arguments)])
    main = runpy.run_path(str(ROOT / "tools" / tool), run_name="tool")["main"]
    with pytest.raises((ValueError, SystemExit), match=r"(--out|--show-dir|DST) .* would write"):
        main()


def evaluators_of(tool, evaluator, folder):
    cfg = Config(dict(test_evaluator=evaluator, default_scope="mmseg"))
    tool["write_predictions"](cfg, folder)
    return cfg.test_evaluator


def test_predictions_go_to_every_metric_that_writes():
    tool = runpy.run_path(str(ROOT / "tools/test.py"), run_name="tool")
    plain = dict(type="mmmaskformer.SemanticPQMetric")
    writer, stock = dict(type="mmmaskformer.IoUMetric"), dict(type="mmseg.IoUMetric")
    found = evaluators_of(tool, [plain, writer, stock], "out")
    assert [one.get("output_dir") for one in found] == [None, "out", "out"]
    found = evaluators_of(tool, dict(type="Evaluator", metrics=[writer]), "out")
    assert found.metrics[0].output_dir == "out"
    message = r"--out out: none of the metrics of test_evaluator \(mmmaskformer.SemanticPQMetric\)"
    with pytest.raises(ValueError, match=message):
        evaluators_of(tool, plain, "out")


@pytest.mark.parametrize(
    ("deterministic", "before", "after"),
    [(True, None, ":4096:8"), (True, ":16:8", ":16:8"), (False, None, None)],
)
def test_deterministic_runs_of_cublas(deterministic, before, after, tmp_path, monkeypatch):
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, before or "")  # is taken back after the test
    if before is None:
        monkeypatch.delenv(name)
    (tmp_path / "taken").touch()
    randomness = dict(deterministic=deterministic)
    work_dir = str(tmp_path / "taken")
    cfg = Config(dict(randomness=randomness, work_dir=work_dir, launcher="none"))
    with pytest.raises(ValueError, match="work_dir"):
        build_runner(cfg)
    assert os.environ.get(name) == after
