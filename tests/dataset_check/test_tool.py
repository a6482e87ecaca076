"""tools/check_dataset.py, run as a user runs it, on small trees with every fault."""

import csv
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmmaskformer.datasets import shapes
from tests.conftest import ROOT
from tests.dataset_check.tree import lines_of
from tests.generated import make_ade20k


def test_a_good_dataset_is_counted_and_passes(tree):
    out = tree.root / "out"
    text = tree.run("--out", out)
    assert "train: 3 images, 3 annotations read; values in the files 0..2, 255; 25.0%" in text
    assert "val: 3 images" in text
    assert "test:" not in text  # the files of val
    assert "num_classes 3, ignore_index 255; reduce_zero_label False" in text
    assert text.endswith("no problems found\n")
    assert not lines_of(text, "error") + lines_of(text, "warning")
    with open(out / "classes.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["split"], r["class"], r["pixels"]) for r in rows[:4]] == [
        ("train", "cat", "300"), ("train", "dog", "300"), ("train", "grass", "300"),
        ("val", "cat", "300"),
    ]  # fmt: skip
    assert float(rows[0]["share"]) == pytest.approx(1 / 3)
    with Image.open(out / "classes.png") as image:
        assert image.size[0] > 500
    assert sorted(path.name for path in out.iterdir()) == ["classes.csv", "classes.png"]


def test_splits_can_be_chosen(tree):
    assert "val:" not in tree.run("--split", "train")
    assert "test: 3 images" in tree.run("--split", "test")
    (tree.root / "other").symlink_to(tree.root / "img")
    text = tree.run("--cfg-options", "test_dataloader.dataset.data_prefix.img_path=other")
    assert "test: 3 images" in text  # its files are not those of val
    tree.configure(extra="val_dataloader = val_cfg = val_evaluator = None\n")
    assert "--split val: " in tree.run("--split", "val", ok=False)
    other = tree.root / "no.py"
    assert "no.py does not exist" in tree.run(config=other, ok=False)


def test_every_fault_is_one_line_with_its_file(tree):
    path = tree.root / "img/0.jpg"
    path.write_bytes(path.read_bytes()[:500])
    (tree.root / "ann/1.png").unlink()
    tree.add("3", np.full((5, 6), 2, np.uint8))
    cv2.imwrite(str(tree.root / "ann/3.png"), np.zeros((6, 5), np.uint8))
    tree.add("4", np.zeros((5, 6, 3), np.uint8))
    for i in range(5, 25):
        tree.add(str(i), np.full((5, 6), 77, np.uint8))
    text = tree.run("--split", "train", ok=False)
    errors = lines_of(text, "error")
    for name, problem in {
        "img/0.jpg": "can not be read",
        "ann/1.png": "does not exist",
        "ann/3.png": "is 6x5 (height x width), but its image",
        "ann/4.png": "must have one channel of class indices, got shape (5, 6, 3)",
        "ann/10.png": "label values [77] are outside the allowed range [0, 2] (ignored: 255)",
    }.items():
        assert [line for line in errors if f"{name}" in line and problem in line], name
    assert sum("label values [77]" in line for line in errors) == 10
    assert "error: train: labels out of range: 10 more" in errors
    assert any("if 77 means 'ignored'" in line for line in errors)
    assert errors[-1].endswith("25 problems would stop or spoil training")


def test_an_empty_and_a_missing_dataset_fail(tree):
    for path in (tree.root / "img").iterdir():
        path.unlink()
    text = tree.run(ok=False)
    where = f"is its img_suffix that of the files in {tree.root}/img?"
    assert f"error: train: the dataset is empty; {where}" in text
    assert "error: val: the dataset is empty" in text
    (tree.root / "img").rmdir()
    errors = lines_of(tree.run(ok=False), "error")
    for split, error in zip(("train", "val"), errors[:2], strict=True):
        assert error == (
            f"error: {split}: {tree.root}/img does not exist; wanted the dataset's files there, as "
            f"data_root '{tree.root}' and data_prefix {{'img_path': 'img', 'seg_map_path': 'ann'}} "
            "say"
        )


def test_what_may_be_meant_only_warns(tree):
    for i in range(3):
        tree.add(str(i), np.full((4, 4), 255 if i else 1, np.uint8))
    warnings = lines_of(tree.run("--split", "train"), "warning")
    assert warnings[0] == "warning: train: 2 of 3 classes never occur: cat, grass"
    assert "nothing is labelled in 2 images: " in warnings[1]
    assert "ann/1.png" in warnings[1]
    assert warnings[2] == "warning: train: 66.7% of the pixels are ignored"
    half = np.full((4, 4), 1, np.uint8)
    half[:2] = 255
    tree.add("2", half)
    text = tree.run("--split", "train")
    assert "; 50.0% of the pixels ignored" in text
    assert "pixels are ignored" not in text  # more than half would be


@pytest.mark.parametrize("scope", ["", "mmmaskformer."])
def test_labels_from_one_are_told_from_void(tree, scope):
    """mmseg's loading and ours; `reduce_zero_label` mends it."""
    tree.configure(scope)
    for i in range(3):
        tree.add(str(i), [[0, 1, 2, 3]])
    text = tree.run("--split", "train", ok=False)
    assert (
        "error: train: labels reach 3 and 0 occurs: set reduce_zero_label=True or num_classes=4"
        in text
    )
    tree.run("--split", "train", "--cfg-options", "train_dataloader.dataset.reduce_zero_label=True")


def test_labels_that_the_label_map_ignores_need_no_class(tree):
    """Labels 0..65 of a model of mmseg's zoo with 65 classes: mmseg maps 65 to 255."""
    for split in ("training", "validation"):
        for folder, source in (("images", "img"), ("labels", "ann")):
            (tree.root / split).mkdir(exist_ok=True)
            (tree.root / split / folder).symlink_to(tree.root / source)
    for i in range(3):
        tree.add(str(i), np.arange(66, dtype=np.uint8).reshape(6, 11))
    config = ROOT / "configs/deeplabv3plus_r50_mapillary.py"
    roots = [f"{split}_dataloader.dataset.data_root={tree.root}" for split in ("train", "val")]
    arguments = ["--split", "train", "val", "--cfg-options", *roots]
    text = tree.run(*arguments, config=config)
    assert "train: 3 images, 3 annotations read; values in the files 0..65; 1.5%" in text
    assert not lines_of(text, "warning")
    tree.add("0", np.arange(67, dtype=np.uint8)[None])
    text = tree.run(*arguments, config=config, ok=False)
    assert "error: train: labels reach 66 and 0 occurs: set num_classes=67 or, if 66" in text


def test_sixteen_bits_and_their_ignored_label(tree):
    wide = "model.decode_head.num_classes=847"
    names = "train_dataloader.dataset.metainfo.classes=" + ",".join(map(str, range(847)))
    names = [names, "train_dataloader.dataset.metainfo.palette=[]"]
    for i in range(3):
        tree.add(str(i), np.array([[0, 300, 846, 65535]], np.uint16))
    run = ["--split", "train", "--cfg-options", wide, *names]
    text = tree.run(*run, ok=False)
    assert "65535 seems to mean 'ignored': set model.decode_head.ignore_index=65535" in text
    run.append("model.decode_head.ignore_index=65535")
    text = tree.run(*run, ok=False)
    (error, _) = lines_of(text, "error")
    assert error == (
        "error: data_preprocessor.seg_pad_val is 255, but model.decode_head.ignore_index is 65535: "
        "set data_preprocessor.seg_pad_val=65535"
    )
    run.append("model.data_preprocessor.seg_pad_val=65535")
    assert "values in the files 0, 300, 846, 65535" in tree.run(*run, "--out", tree.root / "o")
    tree.configure("")
    assert "keeps eight bits; use type='mmmaskformer.LoadAnnotations'" in tree.run(*run, ok=False)


EXTRA = {
    "head": (
        "model.update(auxiliary_head=[dict(type='FCNHead', in_channels=1, channels=1, "
        "num_classes=19)])",
        "model.auxiliary_head[0].num_classes is 19, but the train dataset has 3 classes: set "
        "model.auxiliary_head[0].num_classes=3",
    ),
    "aux ignore": (
        "model.update(auxiliary_head=dict(type='FCNHead', in_channels=1, channels=1, "
        "num_classes=3, ignore_index=0))",
        "model.auxiliary_head.ignore_index is 0, but model.decode_head.ignore_index is 255",
    ),
    "classes": (
        "model.decode_head.num_classes = 4",
        "model.decode_head.num_classes is 4, but the train dataset has 3 classes",
    ),
    "isthing": (
        "model.decode_head.isthing = [True]",
        "model.decode_head: num_classes is 3, but isthing has 1 flags",
    ),
    "pad": (
        "train_dataloader.dataset.pipeline.append(dict(type='Pad', pad_val=dict(img=0, seg=0)))",
        "train_dataloader.dataset.pipeline.Pad.pad_val.seg is 0, but",
    ),
    "pad behind a wrapper": (
        "train_dataloader.dataset = dict(type='MultiImageMixDataset', "
        "dataset=train_dataloader.dataset, pipeline=[dict(type='Pad', pad_val=dict(seg=0))])",
        "train_dataloader.dataset.pipeline.Pad.pad_val.seg is 0, but",
    ),
    "rotate": (
        "train_dataloader.dataset.pipeline.append("
        "dict(type='RandomApply', transforms=[dict(type='RandomRotate', seg_pad_val=0)]))",
        "pipeline.RandomRotate.seg_pad_val is 0, but model.decode_head.ignore_index is 255: set",
    ),
    "evaluator": (
        "val_evaluator = [dict(type='IoUMetric', ignore_index=3)]",
        "val_evaluator.IoUMetric.ignore_index is 3, but",
    ),
    "reduce": (
        "train_dataloader.dataset.pipeline[1] = dict(type='LoadAnnotations', "
        "reduce_zero_label=True)",
        "LoadAnnotations.reduce_zero_label is True, but the dataset's is False",
    ),
    "filled": (
        "train_dataloader.dataset.reduce_zero_label = True\n"
        "train_dataloader.dataset.pipeline[1].ignore_index = 9",
        "pipeline.LoadAnnotations.ignore_index is 9, but model.decode_head.ignore_index is 255",
    ),
    "names": (
        "import copy\nval_dataloader = copy.deepcopy(train_dataloader)\n"
        "val_dataloader.dataset.metainfo.classes = ('dog', 'cat', 'grass')",
        "val: the dataset's 3 classes are not the 3 of the train dataset, or not in their order",
    ),
    "loading": (
        "train_dataloader.dataset.pipeline.pop(1)",
        "train: no LoadAnnotations or LoadPanopticAnnotations among the pipeline's",
    ),
    "unlabelled": (
        "train_dataloader.dataset.data_prefix.pop('seg_map_path')",
        "train: the dataset has no annotations",
    ),
}


@pytest.mark.parametrize("case", EXTRA)
def test_a_config_that_disagrees_says_what_to_set(tree, case):
    """The files are good: only the config is wrong."""
    change, message = EXTRA[case]
    cfg = Config.fromfile(tree.root / "mine.py")
    scope = {key: cfg[key] for key in ("model", "train_dataloader", "val_dataloader")}
    exec(change, scope)
    for key in ("model", "train_dataloader", "val_dataloader", "val_evaluator"):
        if key in scope:
            cfg[key] = scope[key]
    cfg.dump(tree.root / "changed.py")
    errors = lines_of(tree.run(config=tree.root / "changed.py", ok=False), "error")
    assert [e for e in errors if message in e], errors


def test_datasets_in_wrappers_are_read(tree):
    tree.configure(
        extra="leaf = {k: v for k, v in train_dataloader['dataset'].items() if k != '_delete_'}\n"
        "inner = dict(type='RepeatDataset', times=2, dataset=leaf)\n"
        "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', "
        "datasets=[inner, leaf]))\n"
    )
    assert "train: 6 images, 6 annotations read" in tree.run("--split", "train")
    (tree.root / "ann/1.png").unlink()
    text = tree.run("--split", "train", ok=False)
    assert sum("1.png does not exist" in line for line in lines_of(text, "error")) == 2


def test_panoptic_shapes(tree, monkeypatch):
    data = tree.root / "shapes"
    with monkeypatch.context() as patch:
        patch.setattr(shapes, "SPLITS", {"train": 6, "val": 3})
        shapes.make_shapes(data)
    config = ROOT / "configs/maskformer_r18_shapes-panoptic.py"
    roots = [f"{s}_dataloader.dataset.data_root={data}" for s in ("train", "val", "test")]
    text = tree.run("--cfg-options", *roots, config=config)
    assert "train: 6 images, 6 annotations read; " in text
    assert "segments per image min" in text
    assert not lines_of(text, "error")
    loader = "train_dataloader.dataset.pipeline.1"
    text = tree.run(
        "--split", "train", "--cfg-options", *roots, f"{loader}.type=Pad", config=config, ok=False
    )
    assert "no LoadAnnotations or LoadPanopticAnnotations among" in text
    flags = "model.decode_head.isthing=" + ",".join(["True"] * 10)
    text = tree.run("--cfg-options", *roots, flags, config=config, ok=False)
    assert "isthing differs from the train dataset's in classes 5, 6, 7, 8, 9" in text
    next((data / "panoptic_val").iterdir()).unlink()
    text = tree.run("--cfg-options", *roots, config=config, ok=False)
    assert f"error: val: 1 of 3 files that {data}/panoptic_val.json names are missing" in text
    assert "wanted the dataset's files" not in text


@pytest.mark.slow
def test_camvid_passes_on_the_command_line(shared):
    """As a user types it, with several processes; the data as they came."""
    roots = [
        f"{split}_dataloader.dataset.data_root={shared}/data/camvid" for split in ("train", "val")
    ]
    result = subprocess.run(
        [
            sys.executable, "-W", "ignore", "tools/check_dataset.py",
            "configs/maskformer_r18_camvid.py", "--workers", "2", "--split", "train", "val",
            "--cfg-options", *roots,
        ],
        cwd=ROOT, text=True, capture_output=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "train: 367 images, 367 annotations read; values in the files 0..10, 255" in (
        result.stdout
    )


def test_ade20k_layout_passes(tmp_path, tree):
    data = make_ade20k(tmp_path / "ADEChallengeData2016")
    roots = [f"{s}_dataloader.dataset.data_root={data}" for s in ("train", "val", "test")]
    config = ROOT / "configs/maskformer_r50_ade20k.py"
    text = tree.run("--cfg-options", *roots, config=config)
    assert "train: 4 images, 4 annotations read" in text
    assert "reduce_zero_label True" in text
    wrong = "train_dataloader.dataset.reduce_zero_label=False"
    text = tree.run("--split", "train", "--cfg-options", *roots, wrong, config=config, ok=False)
    assert (
        "error: train: labels reach 150 and 0 occurs: set reduce_zero_label=True or num_classes=151"
        in text
    )
