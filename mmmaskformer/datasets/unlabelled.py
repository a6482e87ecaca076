"""Folders of images that nobody has labelled."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from ..registry import DATASETS

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of image files, in small letters."""


def list_images(folder: str | Path, suffixes: tuple[str, ...] = IMAGES) -> list[str]:
    """The images of a folder and of the folders in it, sorted; hidden files are left out.

    Raises:
        FileNotFoundError, ValueError: there is no such folder, or no image in it; names it.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no folder; wanted one with images")
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        named = [name for name in files if not name.startswith(".")]
        found += [os.path.join(place, n) for n in named if Path(n).suffix.lower() in suffixes]
    if not found:
        raise ValueError(f"{folder} has no images in it; wanted {', '.join(suffixes)}")
    return sorted(found)


def without_steps(steps: Sequence[Mapping], left_out: Callable[[str], bool]) -> list[dict]:
    """Copies of a pipeline's steps but for those of some types; in steps of steps, such as those
    of test-time augmentation, too.

    Args:
        left_out: whether a type, as the config names it, is left out.
    """
    kept = [copy.deepcopy(dict(step)) for step in steps if not left_out(str(step["type"]))]
    for step in kept:
        parts = step.get("transforms")
        if not isinstance(parts, (list, tuple)):
            continue
        if all(isinstance(part, Mapping) for part in parts):
            step["transforms"] = without_steps(parts, left_out)
        else:
            views = [without_steps(part, left_out) for part in parts]
            step["transforms"] = [view for view in views if view]
    return kept


def loads(kind: str) -> bool:
    """Whether a step of this type reads a file."""
    return "Load" in kind


def loads_annotations(kind: str) -> bool:
    """Whether a step of this type reads a file that is no image."""
    return loads(kind) and "Image" not in kind


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """The images of a folder and of the folders in it, to predict them.

    Args:
        folder: where the images are.
        metainfo: `classes` and what else the metrics that write predictions need.
        reduce_zero_label: whether label maps are written with 0 for "nothing", as in the files
            of the dataset that the model was trained on.
    """

    def __init__(
        self, folder: str, metainfo: dict, reduce_zero_label: bool = False, **kwargs
    ) -> None:
        self.folder, self.reduce_zero_label = folder, reduce_zero_label
        metainfo = {**metainfo, "reduce_zero_label": reduce_zero_label}
        super().__init__(metainfo=metainfo, test_mode=True, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One sample for each image, sorted by path."""
        return [
            dict(img_path=path, seg_fields=[], reduce_zero_label=self.reduce_zero_label)
            for path in list_images(self.folder)
        ]
