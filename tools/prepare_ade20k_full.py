"""ADE20K_2021_17_01 to the images and label maps of ADE20KFullDataset (847 classes).

    python tools/prepare_ade20k_full.py data/ade/ADE20K_2021_17_01 --workers 8

Writes `images_512/{training,validation}/*.jpg` and `labels_512/{training,validation}/*.png`
(16 bits, 65535 ignored) beside `images`. As in the paper (appendix A.1) the shortest side is at
most 512 pixels; the resizing (bilinear, nearest for labels) and jpeg quality are those behind its
numbers. Stopped and started again, it goes on.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.datasets import preparation
from mmmaskformer.datasets.tables import metainfo

META = metainfo("ade20k_full")
ADDRESS = "ADE20K_2021_17_01 from https://groups.csail.mit.edu/vision/datasets/ADE20K"
SPLITS = ("training", "validation")
SHORTEST = 512
IGNORED = 65535
LABELS = np.full(26 * 256, IGNORED, np.uint16)
"""Class of each number that red and green of a `_seg.png` can say."""
LABELS[META["category_ids"]] = np.arange(len(META["classes"]))


def resized(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width with the shortest side at most SHORTEST."""
    height, width = size
    if min(size) <= SHORTEST:
        return size
    if width >= height:
        return SHORTEST, round(width / height * SHORTEST)
    return round(height / width * SHORTEST), SHORTEST


def labels_of(segmentation: np.ndarray) -> np.ndarray:
    """Pixels of a `_seg.png` (H, W, 3) uint8 to classes (H, W) uint16."""
    red, green = segmentation[..., 0].astype(np.int64), segmentation[..., 1]
    return LABELS[red // 10 * 256 + green]


def prepare(task: tuple[Path, Path]) -> None:
    """Write one image unless it is there, and its label map unless that is there and right."""
    root, photo = task
    split = split_of(photo)
    image_file = root / f"images_{SHORTEST}" / split / photo.name
    label_file = root / f"labels_{SHORTEST}" / split / f"{photo.stem}.png"
    annotation = photo.with_name(f"{photo.stem}_seg.png")
    preparation.inside(root, photo, annotation, image_file, label_file)
    segmentation = preparation.read_labels(annotation, photo, channels=3, largest=255)
    original = segmentation.shape[:2]
    size, labels = resized(original), labels_of(segmentation)
    if size != original:
        labels = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    if not preparation.is_whole(image_file, size):
        image = preparation.read_image(photo)
        if size != original:
            image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        preparation.write_image(image_file, image)
    preparation.keep_or_write(label_file, labels)


def split_of(photo: Path) -> str:
    """Names begin with ADE_val_, ADE_train_ or ADE_frame_; frames are for training."""
    return SPLITS[photo.name.startswith("ADE_val_")]


def find_photos(root: Path, listed: list[Path]) -> dict[str, list[Path]]:
    """Images of each split.

    Args:
        listed: images that the index lists; empty where there is no index.

    Raises:
        ValueError: images are missing, or two share a name.
    """
    folder = root / "images" / "ADE"
    preparation.need_folder(folder, ADDRESS)
    photos: dict[str, list[Path]] = defaultdict(list)
    by_name: dict[str, Path] = {}
    for photo in sorted(folder.glob("**/ADE_*.jpg")):
        other = by_name.setdefault(photo.name, photo)
        if other != photo:
            raise ValueError(f"{photo} and {other} share a name")
        photos[split_of(photo)].append(photo)
    missing = [photo for photo in listed if photo.name not in by_name]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(listed)} images that {root}/index_ade20k.pkl lists are "
            f"missing, the first is {missing[0]}; unpack the download again"
        )
    for split in SPLITS:
        if not photos[split] and not listed:
            raise ValueError(f"{folder} has no images for {split}: download {ADDRESS}")
    return photos


def check_index(root: Path) -> list[Path]:
    """Images that the download's index lists, once its names are found to be those of the table;
    none where there is no index.

    Raises:
        ValueError: it can not be read, or a class has another name there.
    """
    path = root / "index_ade20k.pkl"
    preparation.inside(root, path)
    if not path.exists():
        return []
    try:
        index = load_checkpoint_file(path)
        names = list(index["objectnames"])
        files = [
            Path(folder) / name
            for folder, name in zip(index["folder"], index["filename"], strict=True)
        ]
    except RuntimeError as error:
        raise ValueError(f"{error}; unpack the download again") from error
    except Exception as error:
        raise ValueError(
            f"{path} can not be read ({type(error).__name__}: {error}); wanted the download's "
            "index with objectnames, folder and filename: unpack it again"
        ) from error
    for label, (number, ours) in enumerate(zip(META["category_ids"], META["classes"], strict=True)):
        theirs = names[number - 1] if number <= len(names) else "(none)"
        if theirs and theirs != ours:  # extracts of the dataset leave names empty
            raise ValueError(
                f"{path}: object {number} should be {ours!r} (class {label}), but is "
                f"{str(theirs)[:80]!r}"
            )
    return files


def main() -> None:
    args = preparation.parse_arguments(__doc__, data_root="folder ADE20K_2021_17_01")
    root = args.data_root
    with preparation.one_line_errors():
        photos = find_photos(root, check_index(root))
        with preparation.alone(root):
            for split in filter(photos.get, SPLITS):
                for kind, suffix in (("images", ".jpg"), ("labels", ".png")):
                    names = [f"{photo.stem}{suffix}" for photo in photos[split]]
                    preparation.make_folder(root, root / f"{kind}_{SHORTEST}" / split, names)
                tasks = [(root, photo) for photo in photos[split]]
                preparation.run_all(prepare, tasks, args.workers, f"ADE20K-Full {split}")
                print(f"{root / f'labels_{SHORTEST}' / split}: {len(tasks)} label maps")


if __name__ == "__main__":
    main()
