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
from pathlib import Path

import cv2
import numpy as np

from mmmaskformer.datasets import preparation
from mmmaskformer.datasets.preparation import read_labels
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.utils.files import read_json, replacing
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


def merge(root: Path, split: str, stem: str) -> np.ndarray:
    """Segment ids of one image from its semantic and instance map."""
    folder = root / "annotations_instance" / split
    semantic = read_labels(root / "annotations" / split / f"{stem}.png", 1, NUM_CLASSES)
    instances = read_labels(folder / f"{stem}.png", 3, len(THINGS))
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
    preparation.keep_or_write(png, ids_to_colors(ids))
    photo = root / "images" / split / f"{stem}.jpg"
    size = preparation.image_size(photo)
    if size != ids.shape:
        raise ValueError(f"{photo} is {size}, its annotation {ids.shape}")
    image = {"id": stem, "file_name": photo.name, "width": size[1], "height": size[0]}
    segments = segments_of(ids)
    return image, {"image_id": stem, "file_name": png.name, "segments_info": segments}


def prepare_split(root: Path, split: str, workers: int) -> None:
    """Write the pngs and the json of a split, unless the json is complete."""
    for kind, url in DOWNLOADS.items():
        preparation.need_folder(root / kind / split, url)
    name = f"ade20k_panoptic_{SPLITS[split]}"
    target = root / f"{name}.json"
    stems = sorted(path.stem for path in (root / "images" / split).glob("*.jpg"))
    if not stems:
        raise ValueError(f"{root / 'images' / split} has no images")
    if target.is_file() and len(read_json(target)["images"]) == len(stems):
        print(f"{target} is complete")
        return
    preparation.remove_leftovers(root / name)
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
    with replacing(target) as work:
        work.write_text(json.dumps(content))
    print(
        f"{target}: {len(images)} images, {sum(len(a['segments_info']) for a in annotations)} "
        "segments"
    )


def main() -> None:
    args = preparation.parse_arguments(__doc__, data_root="folder ADEChallengeData2016")
    with preparation.one_line_errors():
        for split in SPLITS:
            prepare_split(args.data_root, split, args.workers)


if __name__ == "__main__":
    main()
