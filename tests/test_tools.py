"""The command lines, run as a user runs them, on a handful of small images."""

import json
import os
import pickle
import re
import runpy
import shutil
import signal
import socket
import sys
from pathlib import Path

import cv2
import mmdet
import mmseg
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model, init_model

from mmmaskformer.datasets import shapes
from tests.checkpoints.original_format import original_weights
from tests.commands import cold, python, run
from tests.conftest import ROOT

CONFIG = "configs/maskformer_r18_shapes.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with a tiny `shapes` dataset; options that make a run small."""
    folder = tmp_path_factory.mktemp("tools")
    patch = pytest.MonkeyPatch()
    patch.setattr(shapes, "SPLITS", {"train": 8, "val": 4})
    shapes.make_shapes(folder / "shapes")
    patch.undo()
    return folder


def options(workspace, iterations=2):
    data = workspace / "shapes"
    return [
        "--cfg-options",
        *(f"{part}_dataloader.dataset.data_root={data}" for part in ("train", "val", "test")),
        "train_dataloader.batch_size=2",
        f"train_cfg.max_iters={iterations}",
        f"train_cfg.val_interval={iterations}",
        "default_hooks.logger.interval=1",
        "default_hooks.checkpoint.interval=1",
    ]


@pytest.fixture(scope="module")
def trained(workspace):
    work_dir = workspace / "train"
    output = python("tools/train.py", CONFIG, "--work-dir", work_dir, *options(workspace))
    assert "Iter(train) [2/2]" in output
    assert "mIoU" in output
    return work_dir / "iter_2.pth"


def test_resume_goes_on_from_the_last_iteration(workspace, trained):
    work_dir = shutil.copytree(trained.parent, workspace / "resumed")
    (work_dir / "last_checkpoint").write_text(str(work_dir / trained.name))
    output = python(
        "tools/train.py", CONFIG, "--work-dir", work_dir, "--resume", *options(workspace, 3)
    )
    assert "resumed epoch: 0, iter: 2" in output
    assert "Iter(train) [3/3]" in output
    assert "Iter(train) [1/3]" not in output


@pytest.mark.parametrize(
    "flag", [None, "--aug-test", pytest.param("--tta", marks=pytest.mark.slow)]
)
def test_test_writes_label_maps_and_pictures(workspace, trained, flag):
    out = workspace / f"out{flag}"
    flags = [flag] if flag else []
    output = python(
        "tools/test.py", CONFIG, trained, "--work-dir", out, *flags, "--out", out / "maps",
        "--show-dir", out / "shown", *options(workspace),
        f"train_dataloader.dataset.data_root={out / 'train'}",
    )  # fmt: skip
    assert not (out / "train").exists()  # no training data are needed
    assert re.search(r"mIoU: \d", output)
    maps = sorted((out / "maps").glob("*.png"))
    assert [m.stem for m in maps] == [f"{i:05d}" for i in range(4)]
    assert cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED).shape == (128, 128)
    assert len(list((out / "shown").rglob("*.png"))) == 4


@pytest.mark.slow
def test_a_converted_file_gives_the_metrics_of_its_source(workspace, trained):
    state_dict = torch.load(trained, weights_only=False)["state_dict"]
    source, target = workspace / "model_final_abc.pkl", workspace / "converted.pth"
    source.write_bytes(pickle.dumps(original_weights(state_dict)))
    python("tools/convert_weights.py", source, target)
    scores = []
    for checkpoint in (trained, target):
        output = python(
            "tools/test.py", CONFIG, checkpoint, "--work-dir", workspace / "converted",
            *options(workspace),
        )  # fmt: skip
        scores.append(re.findall(r"aAcc: ([\d.]+).*mIoU: ([\d.]+)", output)[-1])
    assert scores[0] == scores[1]


@pytest.mark.slow  # tests/engine/test_check_weights.py has the check itself
@pytest.mark.parametrize("flags", [[], ["--aug-test"]])
def test_a_checkpoint_of_another_model_is_refused(workspace, trained, flags):
    output = python(
        "tools/test.py", "configs/upernet_r18_shapes.py", trained, "--work-dir", workspace / "no",
        *flags, *options(workspace), ok=False,
    )  # fmt: skip
    message = output.splitlines()[-1]
    assert "does not fit the config" in message
    assert "MaskFormer, 10 classes, 20 queries, 3 decoder layers; ResNet-18" in message
    assert "backbone.stem.0.weight is missing" in message


@pytest.mark.slow
def test_two_cpu_processes_train_and_test(workspace, trained):
    work_dir = workspace / "dist"
    output = run(
        "bash", "tools/dist_train.sh", CONFIG, 2, "--work-dir", work_dir, *options(workspace),
        PORT=free_port(), PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )  # fmt: skip
    assert "Iter(train) [2/2]" in output
    assert "Distributed training: True" in output
    assert "GPU number: 2" in output
    output = run(
        "bash", "tools/dist_test.sh", CONFIG, work_dir / "iter_2.pth", 2,
        "--work-dir", work_dir / "test", *options(workspace),
        PORT=free_port(), PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )  # fmt: skip
    alone = python(
        "tools/test.py", CONFIG, work_dir / "iter_2.pth", "--work-dir", work_dir / "alone",
        *options(workspace),
    )  # fmt: skip
    scores = [re.findall(r"mIoU: ([\d.]+)", text)[-1] for text in (output, alone)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("as_array", [False, True])
def test_mmsegs_inference_takes_our_config(workspace, trained, as_array):
    model = init_model(str(ROOT / CONFIG), str(trained), device="cpu")
    path = str(sorted((workspace / "shapes/images/val").glob("*.png"))[0])
    result = inference_model(model, cv2.imread(path) if as_array else path)
    assert result.pred_sem_seg.data.shape == (1, 128, 128)
    assert result.seg_logits.data.shape == (10, 128, 128)


PANOPTIC = "configs/maskformer_r18_shapes-panoptic.py"
KEEP_EVERYTHING = [
    "model.decode_head.panoptic_fusion.object_threshold=0.0",
    "model.decode_head.panoptic_fusion.overlap_threshold=0.0",
]


@pytest.fixture(scope="module")
def panoptic(workspace):
    """A checkpoint of the panoptic config, trained by mmdet's own script and samples."""
    script = Path(mmdet.__file__).parent / ".mim/tools/train.py"
    work_dir = workspace / "panoptic"
    config = PANOPTIC.replace(".py", "-mmdet.py")
    output = cold(script, config, "--work-dir", work_dir, *options(workspace))
    assert "Iter(train) [2/2]" in output
    assert re.search(r"PQ: \d", output)
    return work_dir / "iter_2.pth"


@pytest.mark.slow
def test_panoptic_predictions_on_disk_have_the_logged_quality(workspace, panoptic):
    out, data = workspace / "panoptic_out", workspace / "shapes"
    output = python(
        "tools/test.py", PANOPTIC, panoptic, "--work-dir", out, "--out", out,
        "--show-dir", out / "shown", *options(workspace), *KEEP_EVERYTHING,
    )  # fmt: skip
    assert re.search(r"mIoU: \d", output)
    assert len(list((out / "shown").rglob("*.png"))) == 4
    python(
        "tools/evaluate_pq.py", "--gt_json_file", data / "panoptic_val.json",
        "--pred_json_file", out / "panoptic.json", "--out", out / "pq.json",
    )  # fmt: skip
    pq = json.loads((out / "pq.json").read_text())["All"]["pq"]
    logged = float(re.findall(r" PQ: ([\d.]+)", output)[-1])
    assert 100 * pq == pytest.approx(logged, abs=1e-3)


@pytest.mark.slow
def test_panoptic_tta_and_query_pictures(workspace, panoptic):
    output = python(
        "tools/test.py", PANOPTIC, panoptic, "--work-dir", workspace / "panoptic_tta",
        "--aug-test", *options(workspace), *KEEP_EVERYTHING,
    )  # fmt: skip
    assert re.search(r"PQ: \d", output)
    model = init_model(str(ROOT / PANOPTIC), str(panoptic), device="cpu")
    path = sorted((workspace / "shapes/images/val").glob("*.png"))[0]
    assert inference_model(model, str(path)).pred_panoptic_seg.ids.shape == (128, 128)
    picture = workspace / "queries.png"
    images = sorted((workspace / "shapes/images/val").glob("*.png"))[:2]
    command = ["tools/visualize_queries.py", "--out", picture, "--score-thr", "0"]
    command += ["--model", PANOPTIC, panoptic, "--images", *images]
    python(*command)
    drawn = cv2.imread(str(picture))
    assert np.unique(drawn.reshape(-1, 3), axis=0).shape[0] > 50
    output = python(*command, "--classes", "unicorn", ok=False)
    assert "--classes ['unicorn'] are not among" in output.splitlines()[-1]


@pytest.mark.slow
def test_mmsegs_own_train_script_takes_our_config(workspace):
    script = Path(mmseg.__file__).parent / ".mim/tools/train.py"
    output = cold(script, CONFIG, "--work-dir", workspace / "mmseg", *options(workspace))
    assert "Iter(train) [2/2]" in output


@pytest.mark.slow
def test_zoo_model_trains_and_tests_on_cpu(workspace):
    """SyncBN of the zoo's config becomes BN; its checkpoint loads; TTA is mmseg's."""
    config, work_dir = "configs/upernet_r18_shapes.py", workspace / "upernet"
    python("tools/train.py", config, "--work-dir", work_dir, *options(workspace))
    output = python(
        "tools/test.py", config, work_dir / "iter_2.pth", "--aug-test", "--work-dir", work_dir,
        *options(workspace),
    )  # fmt: skip
    assert re.search(r"mIoU: \d", output)


@pytest.mark.slow
def test_quickstart_draws_and_reuses(workspace, monkeypatch, capsys):
    """It trains and tests in processes that start from nothing."""
    folder = workspace / "quick"
    photo = workspace / "my photo.jpg"
    cv2.imwrite(str(photo), cv2.imread(str(workspace / "shapes/images/val/00000.png"))[:100])
    command = [
        "tools/quickstart.py", CONFIG, "--work-dir", folder, "--images", "2", "--photo", photo,
    ]  # fmt: skip
    # The dataset's place is an option of the config, so a config of our own says it.
    config = workspace / "maskformer_tiny.py"
    root = str(workspace / "shapes")
    config.write_text(
        f"_base_ = [{str(ROOT / CONFIG)!r}]\n"
        + "".join(
            f"{part}_dataloader = dict(dataset=dict(data_root={root!r}))\n"
            for part in ("train", "val", "test")
        )
        + "train_cfg = dict(max_iters=2, val_interval=2)\n"
        + "default_hooks = dict(logger=dict(interval=1))\n"
    )
    command[1] = config
    output = python(*command)
    lines = [line for line in output.splitlines() if line.startswith("maskformer_tiny: ")]
    assert re.fullmatch(r"maskformer_tiny: training, 2 steps \(0 s\)", lines[0])
    assert re.fullmatch(r"maskformer_tiny: trained; testing \(\d+ s\)", lines[-1])
    assert "knows nothing but circle, square" in " ".join(output.split())
    written = json.loads((folder / "photo/my_photo.json").read_text())
    assert (written["image"], written["height"], written["width"]) == (str(photo), 100, 128)
    overlay = cv2.imread(str(folder / "photo/my_photo_overlay.jpg"))
    assert overlay.shape[1] >= 128
    assert overlay.shape[0] > 100  # a legend below
    labels = cv2.imread(str(folder / "photo/my_photo_labels.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(labels)) == {segment["label"] for segment in written["segments"]}
    picture = cv2.imread(str(folder / "predictions.png"))
    assert min(picture.shape[:2]) > 300
    assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 50
    results = json.loads((folder / "maskformer_tiny/results.json").read_text())
    assert set(results) == {"mIoU", "aAcc", "PQ", "step", "memory", "parameters"}
    assert "trained already" in " ".join(python(*command).split())  # rich wraps
    (folder / "maskformer_tiny/config.txt").unlink()  # as if tools/train.py had made it
    main = runpy.run_path(str(ROOT / command[0]))["main"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    monkeypatch.setitem(
        main.__globals__, "follow", lambda tool, *_: sys.exit(" ".join(map(str, tool)))
    )
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    again = f"tools/train.py {config} --work-dir {folder}/maskformer_tiny --resume"
    with pytest.raises(SystemExit, match=f"^{again}$"):
        main()
    assert "holds another run" in " ".join(capsys.readouterr().out.split())  # rich wraps
    (old,) = folder.glob("maskformer_tiny.*")
    assert (old / "iter_2.pth").is_file()
    assert not list((folder / "maskformer_tiny").glob("*.pth"))


@pytest.mark.slow
def test_parameters_are_printed_with_their_group():
    output = cold("tools/print_parameters.py", "configs/maskformer_r50_ade20k.py")
    rows = [line.split() for line in output.splitlines()]
    assert ["backbone.conv1.weight", "64x3x7x7", "1e-05", "0.0001"] in rows
    assert ["backbone.bn1.weight", "64", "frozen"] in rows
    assert ["decode_head.predictor.query_embed.weight", "100x256", "0.0001", "0"] in rows
    assert "41254743 trained parameters" in output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tools/train.py", "configs/none.py"], r"config configs/none\.py does not exist"),
        (
            ["tools/train.py", CONFIG, "--cfg-options", "train_dataloder.batch_size=1"],
            "nothing reads 'train_dataloder'; did you mean 'train_dataloader'",
        ),
        (
            ["tools/train.py", CONFIG, "--cfg-options", "crop_size=4"],
            "nothing reads 'crop_size'",
        ),
        (
            ["tools/train.py", CONFIG, "--cfg-options", "train_pipeline=4"],
            "'train_pipeline' is a variable of the config file",
        ),
        (
            ["tools/train.py", CONFIG, "--cfg-options", "model.decode_head.num_querys=1"],
            "MaskFormerHead takes no 'num_querys'; did you mean 'num_queries'",
        ),
        (["tools/train.py", CONFIG, "--resume", "none.pth"], "--resume none.pth is no file"),
        (
            ["tools/test.py", CONFIG, "README.md", "--show"],
            "--show can open no window, since matplotlib's backend is 'agg'",
        ),
        (["tools/train.py", CONFIG, "--launcher", "slurm"], "SLURM_PROCID is not in the env"),
        (["tools/test.py", CONFIG, "none.pth"], r"checkpoint none\.pth does not exist"),
    ],
)
def test_mistakes_name_themselves(command, message, tmp_path):
    output = python(*command, "--work-dir", tmp_path, ok=False, MPLBACKEND="agg")
    assert re.search(message, output.splitlines()[-1])
