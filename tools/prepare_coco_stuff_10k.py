"""Annotations of COCO-Stuff-10K v1.0 (.mat) to the label maps of COCOStuff10KDataset.

    python tools/prepare_coco_stuff_10k.py data/coco/coco_stuff_10k --workers 8

Writes `labels/*.png` (171 classes, 255 ignored) beside `images`, `annotations` and `imageLists`;
the dataset takes images and lists as they are. A .mat is HDF5 with `S`, stored transposed: 1 is
unlabelled, 2..172 are the classes. Stopped and started again, it goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mmmaskformer.datasets import preparation
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.engine.dependencies import H5PY

try:
    import h5py
except ImportError:
    sys.exit(f"error: h5py is missing; install it with: pip install 'h5py{H5PY}'")

ADDRESS = (
    "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/cocostuff-10k-v1.0.zip"
)
NUM_CLASSES = len(metainfo("coco_stuff_10k")["classes"])
UNLABELLED, FIRST, IGNORED = 1, 2, 255


def read_mat(path: Path) -> np.ndarray:
    """`S` of an annotation (H, W), as in the file: 1..172.

    Raises:
        ValueError: missing, damaged, of another version.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    with path.open("rb") as file:
        matlab5 = file.read(10) == b"MATLAB 5.0"
    if matlab5:
        raise ValueError(f"{path} {wrong_version(read_matlab5(path))}")
    try:
        with h5py.File(path) as file:
            labels = np.asarray(file["S"]).T
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error
    largest = FIRST + NUM_CLASSES - 1
    fits = labels.ndim == 2 and labels.size > 0 and labels.dtype.kind in "iu"
    if not fits or labels.min() < UNLABELLED or labels.max() > largest:
        raise ValueError(f"{path} {wrong_version(labels)}")
    return labels


def read_matlab5(path: Path) -> np.ndarray:
    """`S` of a .mat before MATLAB 7.3, as v1.1 has it."""
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(path, variable_names=["S"])["S"])
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error


def wrong_version(labels: np.ndarray) -> str:
    values = f"values of type {labels.dtype}"
    if labels.size and labels.dtype.kind in "iu":
        values = f"{labels.min()}..{labels.max()}"
    return (
        f"has S of shape {labels.shape} with {values}, wanted integers (height, width), "
        f"{UNLABELLED} (unlabelled) to {FIRST + NUM_CLASSES - 1}, in HDF5: v1.1 has 0 "
        f"(unlabelled) to 182; download v1.0, {ADDRESS}"
    )


def prepare(task: tuple[Path, str]) -> None:
    """Write one label map unless it is there."""
    root, stem = task
    photo = root / "images" / f"{stem}.jpg"
    label = root / "labels" / f"{stem}.png"
    size = preparation.read_image(photo).shape[:2]  # to its end: training reads it, too
    mat = root / "annotations" / f"{stem}.mat"
    labels = read_mat(mat)
    if labels.shape != size:
        raise ValueError(f"{mat} is {labels.shape} (height, width), its image {photo} {size}")
    labels = np.where(labels == UNLABELLED, IGNORED, labels - FIRST).astype(np.uint8)
    preparation.keep_or_write(label, labels)


def read_list(path: Path) -> list[str]:
    """Names of images, without suffix, one a line."""
    try:
        stems = path.read_text(encoding="utf-8").split() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error}); wanted names of images, one a line: download "
            f"{ADDRESS} and unpack it"
        ) from error
    if not stems:
        raise ValueError(f"{path} is missing or empty: download {ADDRESS} and unpack it")
    return stems


def main() -> None:
    args = preparation.parse_arguments(__doc__, data_root="folder with images and annotations")
    root = args.data_root
    with preparation.one_line_errors():
        for kind in ("images", "annotations"):
            preparation.need_folder(root / kind, ADDRESS)
        lists = {split: read_list(root / f"imageLists/{split}.txt") for split in ("train", "test")}
        preparation.remove_leftovers(root / "labels")
        for split, stems in lists.items():
            tasks = [(root, stem) for stem in stems]
            preparation.run_all(prepare, tasks, args.workers, f"COCO-Stuff-10K {split}")
            print(f"{root / 'labels'}: {len(stems)} label maps of {split}")


if __name__ == "__main__":
    main()
