"""`shapes`: a generated dataset with things that overlap and textured stuff.

Made at first use from a fixed seed, with semantic maps and COCO-style panoptic ground truth, so
that everything can be trained and tested without a download.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from rich.progress import track

from ..registry import DATASETS
from .preparation import alone, is_alive
from .tables import metainfo

META = metainfo("shapes")
CLASSES = META["classes"]
THINGS = [name for name, thing in zip(CLASSES, META["isthing"], strict=True) if thing]
STUFF = [name for name, thing in zip(CLASSES, META["isthing"], strict=True) if not thing]
SPLITS = {"train": 320, "val": 80}
SIZE = 128
VERSION = 1
"""Raise when the generated images change, so that old copies are made again."""


@DATASETS.register_module()
class ShapesDataset(BaseSegDataset):
    """The generated dataset; `data_root` is filled when it does not hold it yet."""

    METAINFO = {"classes": META["classes"], "palette": META["palette"]}

    def __init__(self, data_root: str = "data/shapes", **kwargs) -> None:
        make_shapes(data_root)
        super().__init__(data_root=data_root, img_suffix=".png", seg_map_suffix=".png", **kwargs)


def make_shapes(root: str | Path) -> None:
    """Write the dataset under `root` unless it is there; complete or not at all.

    Layout: `images/{split}/*.png`, `annotations/{split}/*.png` (class index, 255 ignored),
    `panoptic_{split}/*.png` and `panoptic_{split}.json` (COCO panoptic format, 0 void).
    """
    root = Path(root).resolve()
    marker = root / f"version_{VERSION}"
    if marker.is_file():
        return
    if root.exists() and not (root.is_dir() and _is_ours(root)):
        raise FileExistsError(f"{root} exists and is not the shapes dataset; remove it")
    root.parent.mkdir(parents=True, exist_ok=True)
    with alone(root.parent):
        if not marker.is_file():  # another process may have made it meanwhile
            _make(root, marker.name)


def _is_ours(root: Path) -> bool:
    """Whether a folder is empty, or holds an older version of the dataset and nothing else."""
    names = {path.name for path in root.iterdir()}
    parts = {"images", "annotations"}.union(
        *({f"panoptic_{s}", f"panoptic_{s}.json"} for s in SPLITS)
    )
    return not names or re.fullmatch(r"version_\d+", " ".join(names - parts)) is not None


def _make(root: Path, marker: str) -> None:
    """Make the dataset beside `root` and rename it; what dead processes left there is removed."""
    for left in root.parent.glob(".shapes_*"):
        match = re.fullmatch(r"\.shapes_([1-9]\d*)_[a-z0-9_]{8}", left.name)
        if match and not is_alive(int(match[1])) and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    print_log(f"making the shapes dataset in {root}", "current")
    work = Path(tempfile.mkdtemp(prefix=f".shapes_{os.getpid()}_", dir=root.parent))
    try:
        for split, count in SPLITS.items():
            _write_split(work, split, count)
        (work / marker).touch()
        os.chmod(work, 0o755)
        if any(root.glob("version_*")):
            shutil.rmtree(root)
        os.rename(work, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_split(root: Path, split: str, count: int) -> None:
    folders = [root / "images" / split, root / "annotations" / split, root / f"panoptic_{split}"]
    for folder in folders:
        folder.mkdir(parents=True)
    images, annotations = [], []
    for index in track(range(count), f"shapes {split}", transient=True):
        seed = (list(SPLITS).index(split), index)
        image, labels, ids, segments = draw_scene(np.random.default_rng(seed))
        name = f"{index:05d}.png"
        colors = np.stack([ids // 65536, ids // 256 % 256, ids % 256], -1).astype(np.uint8)
        for folder, array in zip(folders, (image[..., ::-1], labels, colors), strict=True):
            if not cv2.imwrite(str(folder / name), array):
                raise OSError(f"could not write {folder / name}; is the disk full?")
        images.append({"id": index, "file_name": name, "height": SIZE, "width": SIZE})
        annotations.append({"image_id": index, "file_name": name, "segments_info": segments})
    categories = [
        {"id": i + 1, "name": name, "isthing": int(thing), "color": color}
        for i, (name, thing, color) in enumerate(
            zip(CLASSES, META["isthing"], META["palette"], strict=True)
        )
    ]
    panoptic = {"images": images, "annotations": annotations, "categories": categories}
    (root / f"panoptic_{split}.json").write_text(json.dumps(panoptic))


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
    """One scene: image (SIZE, SIZE, 3) uint8 RGB, labels uint8, segment ids, COCO segments."""
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    ids = np.zeros((SIZE, SIZE), np.int64)
    for mask, name in _stuff_regions(rng):
        label = CLASSES.index(name)
        image[mask], labels[mask], ids[mask] = _texture(name, rng)[mask], label, label + 1
    for number in range(rng.integers(2, 8)):
        name = THINGS[rng.integers(len(THINGS))]
        mask = _thing_mask(name, rng)
        image[mask] = _thing_paint(name, rng)[mask]
        labels[mask] = CLASSES.index(name)
        ids[mask] = 1000 + number
    image = cv2.GaussianBlur(image, (0, 0), 0.6) * rng.uniform(0.75, 1.15)
    image += rng.normal(0, 7, image.shape)
    if rng.random() < 0.3:
        border = int(rng.integers(2, 7))
        edge = np.ones((SIZE, SIZE), bool)
        edge[border:-border, border:-border] = False
        labels[edge], ids[edge] = 255, 0
    return np.clip(image, 0, 255).astype(np.uint8), labels, ids, _segments(ids, labels)


def _segments(ids: np.ndarray, labels: np.ndarray) -> list[dict]:
    segments = []
    for segment in np.unique(ids[ids > 0]):
        mask = ids == segment
        ys, xs = np.nonzero(mask)
        box = [xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1]
        segments.append(
            {
                "id": int(segment),
                "category_id": int(labels[mask][0]) + 1,
                "area": int(mask.sum()),
                "bbox": [int(v) for v in box],
                "iscrowd": 0,
            }
        )
    return segments


def _grid() -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[:SIZE, :SIZE].astype(np.float32)


def _stuff_regions(rng: np.random.Generator) -> list[tuple[np.ndarray, str]]:
    """Two or three kinds of stuff, cut by wavy lines."""
    y, x = _grid()
    names = rng.permutation(STUFF)[: rng.integers(2, 4)]
    regions = [(np.ones((SIZE, SIZE), bool), names[0])]
    for name in names[1:]:
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-30, 30)
        along = (x - SIZE / 2) * np.cos(angle) + (y - SIZE / 2) * np.sin(angle)
        across = (y - SIZE / 2) * np.cos(angle) - (x - SIZE / 2) * np.sin(angle)
        wave = rng.uniform(2, 8) * np.sin(across / rng.uniform(6, 15) + rng.uniform(0, 6))
        regions.append((along + wave > offset, name))
    return regions


def _texture(name: str, rng: np.random.Generator) -> np.ndarray:
    """(SIZE, SIZE, 3) float texture of a kind of stuff."""
    y, x = _grid()
    noise = rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi)
    if name == "sky":
        value = (y / SIZE - 0.5) * rng.uniform(-60, 60) + 8 * cv2.GaussianBlur(noise, (0, 0), 9)
        base = (120, 160, 205)
    elif name == "grass":
        value = 45 * cv2.GaussianBlur(noise, (0, 0), 1)
        base = (95, 135, 80)
    elif name == "water":
        value = 22 * np.sin(y / rng.uniform(1.2, 2.5) + 2 * np.sin(x / 9 + phase))
        base = (80, 115, 160)
    elif name == "brick":
        row = (y + phase * 4) // 8
        mortar = ((y + phase * 4) % 8 < 1.5) | ((x + 8 * (row % 2)) % 16 < 1.5)
        value = np.where(mortar, 40, -10) + 5 * noise
        base = (155, 110, 90)
    else:  # sand
        value = 18 * np.sign(noise) * (np.abs(noise) > 1.2)
        base = (185, 165, 125)
    base = np.array(base, np.float32) + rng.normal(0, 14, 3)
    return (base + value[..., None]).astype(np.float32)


def _thing_mask(name: str, rng: np.random.Generator) -> np.ndarray:
    """Boolean mask of one shape with random place, size and turn."""
    y, x = _grid()
    cy, cx = rng.uniform(8, SIZE - 8, 2)
    radius, turn = rng.uniform(8, 30), rng.uniform(0, 2 * np.pi)
    distance = np.hypot(y - cy, x - cx)
    if name == "circle":
        return distance < radius
    if name == "ring":
        return (distance < radius) & (distance > 0.55 * radius)
    corners = {"square": 4, "triangle": 3, "star": 10}[name]
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    lengths = np.full(corners, radius)
    if name == "star":
        lengths[1::2] *= 0.42
    points = np.stack([cx + lengths * np.cos(angles), cy + lengths * np.sin(angles)], -1)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask.astype(bool)


def _thing_paint(name: str, rng: np.random.Generator) -> np.ndarray:
    """A flat colour, only loosely tied to the class: its shape must be seen, too."""
    own = np.array(META["palette"][CLASSES.index(name)], np.float32)
    color = 0.5 * own + 0.5 * rng.uniform(0, 255, 3)
    shade = (_grid()[0] / SIZE - 0.5) * rng.uniform(-40, 40)
    return (color + shade[..., None]).astype(np.float32)
