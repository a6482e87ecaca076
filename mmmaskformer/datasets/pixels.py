"""Images of any pixel type as eight bits, by one rule, or refused by name.

Eight bits are taken as they are: grey, palette and CMYK become colours, and alpha is ignored. Of
sixteen bits the upper eight are taken, as OpenCV does and pillow with colours. All else would be a
guess: which value of a float is white, or which of many bands are red, green and blue.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image, ImageOps, UnidentifiedImageError

from ..utils.files import check_input

PLAIN = ("RGB", "L", "1", "RGBA")
"""Pillow's modes that every backend reads alike."""
CONVERTED = ("P", "PA", "LA", "CMYK", "YCbCr")
"""Modes that pillow converts, whatever the backend: others blend alpha, or round otherwise."""
DARKEST = 15
"""Largest value of twelve bits that stand in sixteen, of which the upper eight are taken."""


class PixelError(ValueError):
    """Pixels that can not become eight bits without a guess; the text goes on after the name."""


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
    pixels, mode, deep = None, "", False
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, deep = image.mode, is_deep(image)
            pixels = None if mode in PLAIN else to_colors(image)
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
    if deep and pixels.max() <= DARKEST and mmcv.imfrombytes(content, "unchanged").any():
        raise PixelError(
            "has 16 bits, but no value above 4095: twelve bits would become black; multiply by "
            "16, or convert it to eight bits"
        )
    return pixels


def is_deep(image: Image.Image) -> bool:
    """Whether an image has sixteen bits in its file; PixelError for a stack of images."""
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise PixelError(f"is a stack of {image.n_frames} images; write one image a file")
    raw_modes = (tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in image.tile)
    return any("16" in str(mode) for mode in raw_modes)


def to_colors(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 BGR of an image that is not `PLAIN`; PixelError if there is no rule."""
    upright = ImageOps.exif_transpose(image)
    if image.mode in CONVERTED:
        return np.asarray(upright.convert("RGB"))[..., ::-1]
    values = np.asarray(upright)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, 2)
    raise PixelError(
        f"has pixels of pillow's mode {image.mode!r} ({values.dtype}), for which there is no "
        "rule; convert it to eight bits"
    )
