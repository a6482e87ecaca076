"""Own data and 16-bit labels, from the files through training and testing to saved maps."""

import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmmaskformer.datasets import FolderDataset
from tests.commands import python
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
SMALL = [
    "model.backbone.init_cfg=None",
    "model.backbone.depth=18",
    "model.decode_head.in_channels=[64,128,256,512]",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "train_cfg.max_iters=1",
    "train_cfg.val_interval=1",
    "default_hooks.logger.interval=1",
]


def test_own_data_as_the_page_says(tmp_path):
    (code,) = re.findall(r"```python\n(# configs/maskformer_r50_mine.*?)```", PAGE, re.DOTALL)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind, suffix, shape in (("img", "jpg", (96, 128, 3)), ("ann", "png", (96, 128))):
            folder = tmp_path / "data" / kind / split
            folder.mkdir(parents=True)
            for name in "ab":
                array = rng.integers(0, 3, shape, dtype=np.uint8)
                cv2.imwrite(str(folder / f"{name}.{suffix}"), array)
    config = tmp_path / "mine.py"
    code = code.replace(
        "./maskformer_r50_ade20k.py", str(ROOT / "configs/maskformer_r50_ade20k.py")
    )
    config.write_text(code.replace("data/mine", str(tmp_path / "data")))
    output = python(
        "tools/train.py", config, "--work-dir", tmp_path, "--cfg-options", *SMALL,
    )  # fmt: skip
    assert "Iter(train) [1/1]" in output
    assert re.search(r"\|\s+grass\s+\|", output)


def write_tree(root, splits, classes, ignored, dtype=np.uint8, folders=("images", "annotations")):
    """Two images a split; label maps of random blocks that hold the last class and `ignored`."""
    rng = np.random.default_rng(0)
    for split in splits:
        for folder in folders:
            (root / folder / split).mkdir(parents=True)
        for name in "ab":
            image = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
            labels = rng.choice([0, 1, classes - 1, ignored], (6, 8)).astype(dtype)
            labels[0, :2] = classes - 1, ignored
            cv2.imwrite(str(root / folders[0] / split / f"{name}.jpg"), image)
            cv2.imwrite(
                str(root / folders[1] / split / f"{name}.png"), labels.repeat(16, 0).repeat(16, 1)
            )


def test_fine_tuning_on_a_folder(tmp_path):
    write_tree(tmp_path, ("train", "val"), 3, 255)
    (tmp_path / "classes.txt").write_text("cat\ndog\ngrass\n")
    trained = tmp_path / "trained.pth"
    names = ("decode_head.predictor.class_embed.bias", "decode_head.predictor.query_embed.weight")
    torch.save({names[0]: torch.ones(151), names[1]: torch.full((100, 256), 0.25)}, trained)
    output = python(
        "tools/train.py", "configs/maskformer_r50_finetune.py", "--work-dir", tmp_path / "run",
        "--cfg-options", *SMALL, f"load_from={trained}", "optim_wrapper.optimizer.lr=0",
        *(f"{s}_dataloader.dataset.data_root={tmp_path}" for s in ("train", "val", "test")),
    )  # fmt: skip
    assert re.search(r"\|\s+grass\s+\|", output)
    weights = torch.load(tmp_path / "run/iter_1.pth", weights_only=False)["state_dict"]
    assert weights[names[0]].shape == (4,)
    assert (weights[names[1]] == 0.25).all()


def test_the_small_model_learns_a_folder_and_tests_it_at_its_sizes(tmp_path):
    write_tree(tmp_path, ("train", "val"), 3, 255)
    (tmp_path / "classes.txt").write_text("cat\ndog\ngrass\n")
    config, run = "configs/maskformer_efflite0_finetune.py", tmp_path / "run"
    options = [
        "model.backbone.init_cfg=None", *SMALL[3:],
        *(f"{s}_dataloader.dataset.data_root={tmp_path}" for s in ("train", "val", "test")),
    ]  # fmt: skip
    python("tools/train.py", config, "--work-dir", run, "--cfg-options", *options)
    checkpoint = torch.load(run / "iter_1.pth", weights_only=False)["state_dict"]
    assert checkpoint["decode_head.predictor.class_embed.weight"].shape == (4, 256)
    output = python(
        "tools/test.py", config, run / "iter_1.pth", "--work-dir", run, "--aug-test",
        "--cfg-options", *options[-3:],
    )  # fmt: skip
    assert re.search(r"\|\s+grass\s+\|", output)
    assert "FixedAssigner" in (run / "maskformer_efflite0_finetune.py").read_text()
    sizes = Config.fromfile(ROOT / config).tta_pipeline[-1].transforms[0]
    assert [size["scale"][1] / 320 for size in sizes] == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"classes\.txt is missing"),
        ("\n \n", r"classes\.txt is empty"),
        ("cat\ndog\ncat\n", r"classes\.txt names \['cat'\] more than once"),
    ],
)
def test_classes_of_a_folder(tmp_path, text, message):
    if text is not None:
        (tmp_path / "classes.txt").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        FolderDataset(str(tmp_path))


@pytest.mark.slow
def test_sixteen_bits_from_the_files_to_the_saved_maps(tmp_path):
    """847 classes: loading, augmentation, padding, loss, metrics and predictions."""
    folders = ("images_512", "labels_512")
    write_tree(tmp_path, ("training", "validation"), 847, 65535, np.uint16, folders)
    roots = [f"{s}_dataloader.dataset.data_root={tmp_path}" for s in ("train", "val", "test")]
    config, run = "configs/maskformer_r50_ade20k-full.py", tmp_path / "run"
    output = python(
        "tools/train.py", config, "--work-dir", run, "--cfg-options", *SMALL, *roots,
        "train_dataloader.dataset.pipeline.2.scales=[(2048,96)]",
        "val_dataloader.dataset.pipeline.1.scale=(2048,96)",
    )  # fmt: skip
    assert re.search(r"aAcc: \d", output)
    # A model that answers 846 everywhere is right where the labels say so.
    checkpoint = torch.load(run / "iter_1.pth", weights_only=False)
    head = "decode_head.predictor.class_embed."
    weights = checkpoint["state_dict"]
    weights[f"{head}weight"].zero_()
    weights[f"{head}bias"].fill_(-20.0)[846] = 20.0
    torch.save(dict(state_dict=weights), run / "last.pth")
    output = python(
        "tools/test.py", config, run / "last.pth", "--work-dir", run, "--out", tmp_path / "maps",
        "--cfg-options", *SMALL[:3], *roots, "test_dataloader.dataset.pipeline.1.scale=(2048,96)",
    )  # fmt: skip
    truths = sorted((tmp_path / "labels_512/validation").iterdir())
    labels = np.stack([np.asarray(Image.open(path)) for path in truths])
    counted = labels[labels != 65535]
    (accuracy,) = re.findall(r"aAcc: ([\d.]+)", output)
    assert float(accuracy) == pytest.approx(100 * (counted == 846).mean(), abs=0.01)
    for path in truths:
        saved = Image.open(tmp_path / "maps" / path.name)
        assert saved.mode == "I;16"
        assert (np.asarray(saved) == 846).all()
