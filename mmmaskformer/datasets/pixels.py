"""Images and other files of a dataset; the rule for their pixels is in `utils.images`."""

from __future__ import annotations

import io
import os
from pathlib import Path

import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image, UnidentifiedImageError

from ..utils.files import check_input
from ..utils.images import DARKEST, PLAIN, PixelError, is_deep, refuse_dark, to_colors

__all__ = ["PixelError", "decode_image", "read_bytes"]


def read_bytes(path: str | Path, backend_args: dict | None = None) -> bytes:
    """The content of a file on any of mmengine's file systems.

    Raises:
        ValueError: it is a pipe, a device, a socket or a folder.
    """
    if os.path.exists(path):
        check_input(path)
    return fileio.get(str(path), backend_args=backend_args)


def decode_image(content: bytes, backend: str | None, flag: str = "color") -> np.ndarray:
    """An encoded image as (H, W, 3) uint8 BGR; with another `flag` than "color" as mmcv does.

    Args:
        backend: mmcv's, for images of the modes `PLAIN`.

    Raises:
        PixelError: pixels without a rule, or twelve bits that stand in sixteen.
    """
    if flag != "color":
        return mmcv.imfrombytes(content, flag=flag, backend=backend)
    pixels, deep = None, False
    try:
        with Image.open(io.BytesIO(content)) as image:
            deep = is_deep(image)
            pixels = None if image.mode in PLAIN else to_colors(image)[..., ::-1]
    except UnidentifiedImageError:  # OpenCV knows formats that pillow does not
        if backend == "pillow":
            raise
        raw = mmcv.imfrombytes(content, flag="unchanged", backend=backend)
        if raw is not None and raw.dtype != np.uint8:
            raise PixelError(f"has pixels of {raw.dtype}; convert it to eight bits") from None
    if pixels is None:
        pixels = mmcv.imfrombytes(content, flag=flag, backend=backend)
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
        found = None if pixels is None else f"{pixels.dtype} of shape {pixels.shape}"
        raise PixelError(f"gives {found}, not three channels of eight bits; convert it to eight")
    if deep and pixels.max() <= DARKEST:
        refuse_dark(mmcv.imfrombytes(content, "unchanged"))
    return pixels
