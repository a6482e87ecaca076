"""Annotations of COCO-Stuff-10K v1.0 (.mat) to the label maps of COCOStuff10KDataset.

    python tools/prepare_coco_stuff_10k.py data/coco/coco_stuff_10k --workers 8

Writes `labels/*.png` (171 classes, 255 ignored) beside `images`, `annotations` and `imageLists`;
the dataset takes images and lists as they are. A .mat is HDF5 with `S`, stored transposed: 1 is
unlabelled, 2..172 are the classes. Stopped and started again, it goes on.
"""

from __future__ import annotations

import math
import re
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


WANTED = (
    f"wanted integers (height, width), {UNLABELLED} (unlabelled) to {FIRST + NUM_CLASSES - 1}, in "
    f"HDF5: v1.1 has 0 (unlabelled) to 182; download v1.0, {ADDRESS}"
)
LARGEST_CHUNK = 1 << 26
"""Values that HDF5 may unpack at once."""


def read_mat(path: Path, size: tuple[int, int]) -> np.ndarray:
    """`S` of an annotation (H, W), as in the file: 1..172.

    Args:
        size: height and width of its image; compared before anything is read.

    Raises:
        ValueError: missing, damaged, of another version or size, or kept in another file.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    with path.open("rb") as file:
        if file.read(10) == b"MATLAB 5.0":
            raise ValueError(f"{path} is of MATLAB 5, as v1.1 is, {WANTED}")
    try:
        with h5py.File(path) as file:
            check_stored(path, file, size)
            labels = np.asarray(file["S"]).T
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error
    if labels.min() < UNLABELLED or labels.max() > FIRST + NUM_CLASSES - 1:
        raise ValueError(f"{path} has S with {labels.min()}..{labels.max()}, {WANTED}")
    return labels


def check_stored(path: Path, file: h5py.File, size: tuple[int, int]) -> None:
    """Raise ValueError unless `S` is a small array of integers that the file itself holds."""
    if not isinstance(file.get("S", getlink=True), h5py.HardLink):
        raise ValueError(f"{path} has no S of its own, {WANTED}")
    data = file["S"]
    if not isinstance(data, h5py.Dataset) or data.shape is None or data.dtype.kind not in "iu":
        raise ValueError(f"{path} has S of type {getattr(data, 'dtype', 'group')}, {WANTED}")
    if data.external or data.is_virtual:
        raise ValueError(f"{path} keeps S in other files, which are not read, {WANTED}")
    if data.shape[::-1] != size:
        raise ValueError(f"{path} is {data.shape[::-1]} (height, width), its image {size}")
    if math.prod(data.chunks or (1,)) > LARGEST_CHUNK:
        raise ValueError(f"{path} has S in pieces of {data.chunks}, {WANTED}")


def prepare(task: tuple[Path, str]) -> None:
    """Write one label map unless it is there."""
    root, stem = task
    photo = root / "images" / f"{stem}.jpg"
    label = root / "labels" / f"{stem}.png"
    mat = root / "annotations" / f"{stem}.mat"
    preparation.inside(root, photo, mat, label)
    size = preparation.read_image(photo).shape[:2]  # to its end: training reads it, too
    labels = read_mat(mat, size)
    labels = np.where(labels == UNLABELLED, IGNORED, labels - FIRST).astype(np.uint8)
    preparation.keep_or_write(label, labels)


def read_list(root: Path, split: str) -> list[str]:
    """Names of a split's images, without suffix, one a line.

    Raises:
        ValueError: missing, empty, no text, or something else than names.
    """
    path = root / f"imageLists/{split}.txt"
    preparation.inside(root, path)
    try:
        stems = path.read_text(encoding="utf-8").split() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error}); wanted names of images, one a line: download "
            f"{ADDRESS} and unpack it"
        ) from error
    if not stems:
        raise ValueError(f"{path} is missing or empty: download {ADDRESS} and unpack it")
    for stem in stems:
        if not re.fullmatch(r"\w[\w.-]*", stem):
            raise ValueError(f"{path} has {stem[:80]!r}, wanted names of images, one a line")
    return list(dict.fromkeys(stems))


def main() -> None:
    args = preparation.parse_arguments(__doc__, data_root="folder with images and annotations")
    root = args.data_root
    with preparation.one_line_errors():
        for kind in ("images", "annotations"):
            preparation.need_folder(root / kind, ADDRESS)
        lists = {split: read_list(root, split) for split in ("train", "test")}
        names = {f"{stem}.png" for stems in lists.values() for stem in stems}
        with preparation.alone(root):
            preparation.make_folder(root, root / "labels", names)
            for split, stems in lists.items():
                tasks = [(root, stem) for stem in stems]
                preparation.run_all(prepare, tasks, args.workers, f"COCO-Stuff-10K {split}")
                print(f"{root / 'labels'}: {len(stems)} label maps of {split}")


if __name__ == "__main__":
    main()
