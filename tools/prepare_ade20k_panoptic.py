"""ADE20K's semantic and instance maps to panoptic ground truth in COCO's format.

    python tools/prepare_ade20k_panoptic.py data/ade/ADEChallengeData2016 --workers 8

Writes `ade20k_panoptic_{train,val}/*.png` and `ade20k_panoptic_{train,val}.json` beside the
folders `images`, `annotations` (150 classes, 0 is none) and `annotations_instance` (red: category
1..100, green: instance). A stuff class is one segment, made from the semantic map; things are one
segment per category and instance, made from the instance map, which wins where both speak. Pixels
of a thing class without an instance stay void. Stopped and started again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.progress import track

from mmmaskformer.datasets.panoptic_format import read_ids
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.evaluation.panoptic_png import ids_to_colors

META = metainfo("ade20k")
SPLITS = {"training": "train", "validation": "val"}
DOWNLOADS = {
    "images": "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
    "annotations": "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
    "annotations_instance": (
        "http://placeschallenge.csail.mit.edu/data/ChallengeData2017/annotations_instance.tar"
    ),
}
NUM_CLASSES = len(META["classes"])
THINGS = np.flatnonzero(META["isthing"])
"""The instance challenge's categories, numbered from 1, are the things in the classes' order."""

# A segment's id is 1 + class + 256 * instance: ids alone say what their segments are.
STUFF_IDS = np.where([False, *META["isthing"]], 0, np.arange(NUM_CLASSES + 1)).astype(np.int32)
THING_IDS = np.array([0, *(THINGS + 1)], np.int32)


def panoptic_ids(semantic: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Semantic map (H, W) and instance map (H, W, 3) to segment ids (H, W) int32, 0 void."""
    category, instance = instances[..., 0], instances[..., 1].astype(np.int32)
    things = THING_IDS[category] + 256 * instance
    return np.where((category > 0) & (instance > 0), things, STUFF_IDS[semantic])


def segments_of(ids: np.ndarray) -> list[dict]:
    """COCO's `segments_info` of ids made by `panoptic_ids`."""
    segments = []
    for value, area in zip(*np.unique(ids[ids > 0], return_counts=True)):
        box = cv2.boundingRect((ids == value).astype(np.uint8))
        segments.append(
            {
                "id": int(value),
                "category_id": int(value) % 256 - 1,
                "area": int(area),
                "bbox": list(box),
                "iscrowd": 0,
            }
        )
    return segments


def read(path: Path, channels: int, largest: int) -> np.ndarray:
    """A label image; its first channel, or its only one, holds 0..largest."""
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        with Image.open(path) as image:
            array = np.asarray(image)
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error
    if array.dtype != np.uint8 or array.shape[2:] != ((channels,) if channels > 1 else ()):
        raise ValueError(
            f"{path} must have {channels} channel(s) of 8 bits, got {array.shape}, {array.dtype}"
        )
    labels = array[..., 0] if channels > 1 else array
    if labels.max(initial=0) > largest:
        raise ValueError(f"{path} must hold 0..{largest}, got {labels.max()}")
    return array


def merge(root: Path, split: str, stem: str) -> np.ndarray:
    """Segment ids of one image from its semantic and instance map."""
    folder = root / "annotations_instance" / split
    semantic = read(root / "annotations" / split / f"{stem}.png", 1, NUM_CLASSES)
    instances = read(folder / f"{stem}.png", 3, len(THINGS))
    if semantic.shape != instances.shape[:2]:
        raise ValueError(
            f"{folder / stem}.png is {instances.shape[:2]}, its semantic map {semantic.shape}"
        )
    return panoptic_ids(semantic, instances)


def prepare(task: tuple[Path, str, str]) -> tuple[dict, dict]:
    """Write one image's png unless it is there; its entries in `images` and `annotations`."""
    root, split, stem = task
    ids = merge(root, split, stem)
    png = root / f"ade20k_panoptic_{SPLITS[split]}" / f"{stem}.png"
    fresh = not png.is_file()
    written = png.with_name(f".part_{os.getpid()}_{png.name}") if fresh else png
    if fresh:
        Image.fromarray(ids_to_colors(ids)).save(written)
    if not np.array_equal(read_ids(written), ids):
        raise ValueError(f"{written} is not what its annotations say; remove it and start again")
    if fresh:
        os.replace(written, png)
    photo = root / "images" / split / f"{stem}.jpg"
    with Image.open(photo) as image:
        size = image.size
    if size != ids.shape[::-1]:
        raise ValueError(f"{photo} is {size[::-1]}, its annotation {ids.shape}")
    image = {"id": stem, "file_name": photo.name, "width": size[0], "height": size[1]}
    segments = segments_of(ids)
    return image, {"image_id": stem, "file_name": png.name, "segments_info": segments}


def prepare_split(root: Path, split: str, workers: int) -> None:
    """Write the pngs and the json of a split, unless the json is complete."""
    for kind, url in DOWNLOADS.items():
        if not (root / kind / split).is_dir():
            raise ValueError(f"{root / kind / split} is missing: download {url} and unpack it")
    name = f"ade20k_panoptic_{SPLITS[split]}"
    target = root / f"{name}.json"
    stems = sorted(path.stem for path in (root / "images" / split).glob("*.jpg"))
    if not stems:
        raise ValueError(f"{root / 'images' / split} has no images")
    if target.is_file() and len(json.loads(target.read_text())["images"]) == len(stems):
        print(f"{target} is complete")
        return
    (root / name).mkdir(exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        entries = pool.map(prepare, [(root, split, stem) for stem in stems], chunksize=8)
        entries = list(track(entries, f"ADE20K {split}", total=len(stems)))
    images, annotations = (list(part) for part in zip(*entries))
    categories = [
        {"id": i, "name": name, "isthing": int(thing), "color": color}
        for i, (name, thing, color) in enumerate(
            zip(META["classes"], META["isthing"], META["palette"])
        )
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    part = target.with_name(f".part_{target.name}")
    part.write_text(json.dumps(content))
    os.replace(part, target)
    print(
        f"{target}: {len(images)} images, {sum(len(a['segments_info']) for a in annotations)} "
        "segments"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_root", type=Path, help="folder ADEChallengeData2016")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    args = parser.parse_args()
    try:
        for split in SPLITS:
            prepare_split(args.data_root, split, args.workers)
    except BrokenProcessPool:
        sys.exit("error: a worker was killed, perhaps for want of memory; start again, it goes on")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
