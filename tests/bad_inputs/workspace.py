"""Small good inputs that all rows share."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mmmaskformer.utils.png_ids import ids_to_colors
from tests.bad_inputs.row import Row
from tests.bad_inputs.running import Outcome
from tests.conftest import ROOT

COMMON = """
_base_ = [{bases}]
model = dict(
    backbone=dict(base_channels=8),
    decode_head=dict(
        in_channels=[8, 16, 32, 64], num_classes=3, num_queries=10, channels=32, mask_channels=32,
        transformer_decoder=dict(num_layers=1, feedforward_channels=32){head},
    ),
)
load = dict(type="mmmaskformer.LoadImageFromFile")
train_pipeline = [load, {labels}, dict(type="RandomFlip", prob=0.5), {pack}]
test_pipeline = [load, {test_labels}, {pack}]
small = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2, dataset=dict(data_root="{root}", pipeline=train_pipeline), **small)
val_dataloader = dict(
    batch_size=1, dataset=dict(data_root="{root}", pipeline=test_pipeline), **small)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
tta_pipeline = [
    load,
    dict(type="TestTimeAug", transforms=[
        [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
        [{test_labels}], [{pack}]]),
]
"""
CATEGORIES = [
    {"id": 3, "name": "cell", "isthing": 1, "color": [200, 0, 0]},
    {"id": 17, "name": "sky", "isthing": 0, "color": [0, 200, 0]},
    {"id": 90, "name": "dog", "isthing": 1, "color": [0, 0, 200]},
]


def config(kind: str) -> str:
    """A small semantic ("own") or panoptic ("pan") config."""
    suffix = "" if kind == "own" else "_panoptic"
    names = ("runtime", f"models/maskformer_r18{suffix}_scratch", f"datasets/own{suffix}")
    files = [f"{ROOT}/configs/_base_/{name}.py" for name in (*names, "schedules/scratch_400")]
    labels = 'dict(type="mmmaskformer.Load{}Annotations"{})'
    panoptic = kind == "pan"
    pack = "mmmaskformer.PackPanopticInputs" if panoptic else "PackSegInputs"
    return COMMON.format(
        bases=", ".join(map(repr, files)),
        head=", isthing=[True, False, True]" if panoptic else "",
        labels=labels.format("Panoptic" if panoptic else "", ""),
        test_labels=labels.format("Panoptic", ", with_ids=True")
        if panoptic
        else labels.format("", ""),
        pack=f'dict(type="{pack}")',
        root=kind,
    )


def make_data(root: Path) -> None:
    """`own` (two folders and a list of classes) and `pan` (COCO's panoptic format)."""
    generator = np.random.default_rng(0)
    for kind, folder in (("own", "annotations"), ("pan", "panoptic")):
        for split in ("train", "val"):
            for part in ("images", folder):
                (root / kind / part / split).mkdir(parents=True)
            content = {"images": [], "annotations": [], "categories": CATEGORIES}
            for number in range(2):
                image = generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)
                labels = generator.integers(0, 3, (2, 2)).repeat(32, 0).repeat(32, 1)
                labels[0, 0] = number
                name = f"{number:03d}"
                Image.fromarray(image).save(root / kind / "images" / split / f"{name}.jpg")
                ids = labels + 1
                array = labels.astype(np.uint8) if kind == "own" else ids_to_colors(ids)
                Image.fromarray(array).save(root / kind / folder / split / f"{name}.png")
                segments = [
                    {"id": int(i), "category_id": CATEGORIES[i - 1]["id"], "iscrowd": 0,
                     "area": int((ids == i).sum()), "bbox": [0, 0, 64, 64]}
                    for i in np.unique(ids)
                ]  # fmt: skip
                content["images"].append(
                    {"id": number, "file_name": f"{name}.jpg", "height": 64, "width": 64}
                )
                content["annotations"].append(
                    {"image_id": number, "file_name": f"{name}.png", "segments_info": segments}
                )
            if kind == "pan":
                (root / kind / f"{split}.json").write_text(json.dumps(content))
    (root / "own/classes.txt").write_text("wall\nsky\ndog\n")


def make_downloads(root: Path) -> None:
    """What the preparation tools take."""
    import h5py

    def save(path: str, array: np.ndarray) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array.astype(np.uint8)).save(root / path)

    photo = np.zeros((2, 3, 3))
    for split in ("train", "val", "test"):
        save(f"camvid/{split}/a.png", photo)
        save(f"camvid/{split}annot/a.png", np.arange(6).reshape(2, 3))
    for split, stem in (("train", "a"), ("test", "b")):
        save(f"stuff/images/{stem}.jpg", photo)
        (root / "stuff/annotations").mkdir(exist_ok=True)
        with h5py.File(root / f"stuff/annotations/{stem}.mat", "w") as file:
            file["S"] = np.array([[1, 2, 3], [81, 82, 172]], np.uint16).T
        (root / "stuff/imageLists").mkdir(exist_ok=True)
        (root / f"stuff/imageLists/{split}.txt").write_text(f"{stem}\n")
    for split in ("training", "validation"):
        save(f"ade/images/{split}/a.jpg", photo)
        save(f"ade/annotations/{split}/a.png", np.array([[1, 2, 3], [0, 150, 13]]))
        save(f"ade/annotations_instance/{split}/a.png", np.zeros((2, 3, 3)))
        short = "val" if split == "validation" else "train"
        folder = f"full/images/ADE/{split}/home"
        save(f"{folder}/ADE_{short}_1.jpg", photo)
        save(f"{folder}/ADE_{short}_1_seg.png", np.zeros((2, 3, 3)))


def make_models(root: Path, run: Callable[[Row, Path], Outcome]) -> None:
    """Configs, trained checkpoints, predictions and a released file."""
    for kind in ("own", "pan"):
        (root / f"{kind}.py").write_text(config(kind))
        train = Row("train", "good", f"{kind}.py --work-dir runs/{kind}", "ok")
        outcome = run(train, root)
        if outcome.verdict != "accepted":
            raise RuntimeError(f"{kind}.py does not train:\n{outcome.text}")
        (root / f"runs/{kind}/iter_2.pth").rename(root / f"{kind}.pth")
    predictions = "pan.py pan.pth --work-dir runs/test --out predictions --cfg-options "
    predictions += " ".join(
        f"model.decode_head.panoptic_fusion.{key}_threshold=0.0" for key in ("object", "overlap")
    )
    run(Row("test", "good", predictions, "ok"), root)
    outcome = run(Row("python", "good", "released.pkl", "ok", call=make_released), root)
    if not (root / "released.pkl").is_file():
        raise RuntimeError(outcome.text)
    shutil.rmtree(root / "runs")


def make_released() -> None:
    """A small model in the format of the original's released files."""
    import torch

    from tests.checkpoints.original_format import original_weights
    from tests.conftest import SMALL_CONFIG, build_without_weights

    torch.manual_seed(0)
    weights = build_without_weights(SMALL_CONFIG).state_dict()
    Path("released.pkl").write_bytes(pickle.dumps(original_weights(weights)))
    torch.save({"state_dict": weights, "meta": {}}, "small.pth")
