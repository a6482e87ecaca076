"""A semantic dataset of anybody: two folders and a list of classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS
from ..utils.files import check_input


@DATASETS.register_module()
class FolderDataset(BaseSegDataset):
    """mmseg's `BaseSegDataset` with the class names in `data_root/classes.txt`.

    One name a line, in the order of the label values, which start at 0. Colours are mmseg's
    random ones.

    Raises:
        ValueError, FileNotFoundError: classes.txt is missing, empty, or names a class twice.
    """

    def __init__(
        self, data_root: str, img_suffix: str = ".jpg", seg_map_suffix: str = ".png", **kwargs
    ) -> None:
        super().__init__(
            data_root=data_root,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            metainfo=dict(classes=read_classes(Path(data_root) / "classes.txt")),
            **kwargs,
        )


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: one class name a line, label 0 first")
    check_input(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not in UTF-8: byte {error.object[error.start]:#x} at {error.start}; save "
            "it again with this encoding"
        ) from error
    names = [line.strip() for line in text.splitlines()]
    names = [name for name in names if name]
    if not names:
        raise ValueError(f"{path} is empty: one class name a line, label 0 first")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path} names {twice} more than once")
    return tuple(names)
