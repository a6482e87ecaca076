"""Folders of images that nobody has labelled."""

from __future__ import annotations

import os
from pathlib import Path

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
