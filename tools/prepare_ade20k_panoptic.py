"""ADE20K's semantic and instance maps to panoptic ground truth in COCO's format.

    python tools/prepare_ade20k_panoptic.py data/ade/ADEChallengeData2016 --workers 8

Writes `ade20k_panoptic_{train,val}/*.png` and `ade20k_panoptic_{train,val}.json` beside the
folders `images`, `annotations` (150 classes, 0 is none) and `annotations_instance` (red: category
1..100, green: instance). A stuff class is one segment, made from the semantic map; things are one
segment per category and instance, made from the instance map, which wins where both speak. Pixels
of a thing class without an instance stay void. Stopped and started again, it goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmmaskformer.datasets import preparation
from mmmaskformer.datasets.preparation import read_labels
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.utils.files import replacing
from mmmaskformer.utils.png_ids import ids_to_colors

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
    for value, area in zip(*np.unique(ids[ids > 0], return_counts=True), strict=True):
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


def prepare(task: tuple[Path, str, str]) -> tuple[dict, dict]:
    """Write one image's png unless it is there; its entries in `images` and `annotations`."""
    root, split, stem = task
    photo = root / "images" / split / f"{stem}.jpg"
    png = root / f"ade20k_panoptic_{SPLITS[split]}" / f"{stem}.png"
    maps = [root / kind / split / f"{stem}.png" for kind in ("annotations", "annotations_instance")]
    preparation.inside(root, photo, png, *maps)
    semantic = read_labels(maps[0], photo, 1, NUM_CLASSES)
    ids = panoptic_ids(semantic, read_labels(maps[1], photo, 3, len(THINGS)))
    preparation.keep_or_write(png, ids_to_colors(ids))
    height, width = ids.shape
    image = {"id": stem, "file_name": photo.name, "width": width, "height": height}
    segments = segments_of(ids)
    return image, {"image_id": stem, "file_name": png.name, "segments_info": segments}


def is_complete(target: Path, names: Sequence[str]) -> bool:
    """Whether a json lists these images, and their pngs are there."""
    folder = target.with_suffix("")
    try:
        images = json.loads(target.read_bytes())["annotations"]
        there = [image["file_name"] for image in images]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False
    return there == list(names) and all((folder / name).is_file() for name in names)


def keep_or_write(target: Path, text: bytes) -> None:
    """Write a json that is not there; raise ValueError for one that holds something else."""
    if not target.exists():
        with replacing(target) as work:
            work.write_bytes(text)
    elif not target.is_file() or target.read_bytes() != text:
        raise ValueError(f"{target} is not what its annotations say; remove it and start again")


def prepare_split(root: Path, split: str, workers: int) -> None:
    """Write the pngs and the json of a split, unless they are complete."""
    for kind, url in DOWNLOADS.items():
        preparation.need_folder(root / kind / split, url)
    target = root / f"ade20k_panoptic_{SPLITS[split]}.json"
    stems = sorted(path.stem for path in (root / "images" / split).glob("*.jpg"))
    names = [f"{stem}.png" for stem in stems]
    if not stems:
        raise ValueError(f"{root / 'images' / split} has no images")
    preparation.inside(root, target)
    if is_complete(target, names):
        print(f"{target} is complete")
        return
    preparation.make_folder(root, root, [target.name])
    preparation.make_folder(root, target.with_suffix(""), names)
    tasks = [(root, split, stem) for stem in stems]
    entries = preparation.run_all(prepare, tasks, workers, f"ADE20K {split}")
    images, annotations = (list(part) for part in zip(*entries, strict=True))
    categories = [
        {"id": i, "name": name, "isthing": int(thing), "color": color}
        for i, (name, thing, color) in enumerate(
            zip(META["classes"], META["isthing"], META["palette"], strict=True)
        )
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    keep_or_write(target, json.dumps(content).encode())
    print(
        f"{target}: {len(images)} images, {sum(len(a['segments_info']) for a in annotations)} "
        "segments"
    )


def main() -> None:
    args = preparation.parse_arguments(__doc__, data_root="folder ADEChallengeData2016")
    root = args.data_root
    with preparation.one_line_errors():
        preparation.need_folder(root, DOWNLOADS["images"])
        with preparation.alone(root):
            for split in SPLITS:
                prepare_split(root, split, args.workers)


if __name__ == "__main__":
    main()
