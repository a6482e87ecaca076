"""Images of any pixel type as eight bits, by one rule, or refused by name.

Eight bits are taken as they are: grey, palette and CMYK become colours, and alpha is ignored. Of
sixteen bits the upper eight are taken, as OpenCV does and pillow with colours. All else would be a
guess: which value of a float is white, or which of many bands are red, green and blue.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

PLAIN = ("RGB", "L", "1", "RGBA")
"""Pillow's modes that every backend reads alike."""
CONVERTED = ("P", "PA", "LA", "CMYK", "YCbCr")
"""Modes that pillow converts, whatever the backend: others blend alpha, or round otherwise."""
DARKEST = 15
"""Largest value of twelve bits that stand in sixteen, of which the upper eight are taken."""


class PixelError(ValueError):
    """Pixels that can not become eight bits without a guess; the text goes on after the name."""


def decode_colors(content: bytes) -> np.ndarray:
    """An encoded image as (H, W, 3) uint8 RGB, upright, read by pillow.

    Raises:
        PixelError: pixels without a rule, or twelve bits that stand in sixteen.
    """
    with Image.open(io.BytesIO(content)) as image:
        deep, colors = is_deep(image), to_colors(image)
        if deep and colors.max() <= DARKEST:
            refuse_dark(np.asarray(image))
    return colors


def is_deep(image: Image.Image) -> bool:
    """Whether an image has sixteen bits in its file; PixelError for a stack of images."""
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise PixelError(f"is a stack of {image.n_frames} images; write one image a file")
    raw_modes = (tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in image.tile)
    return any("16" in str(mode) for mode in raw_modes)


def to_colors(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an upright image; PixelError if there is no rule."""
    upright = ImageOps.exif_transpose(image)
    if image.mode in PLAIN + CONVERTED:
        return np.asarray(upright.convert("RGB"))
    values = np.asarray(upright)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, 2)
    raise PixelError(
        f"has pixels of pillow's mode {image.mode!r} ({values.dtype}), for which there is no "
        "rule; convert it to eight bits"
    )


def refuse_dark(values: np.ndarray) -> None:
    """Raise PixelError for the pixels of a file of sixteen bits whose upper eight are `DARKEST` or
    less, unless they are black."""
    if values.any():
        raise PixelError(
            "has 16 bits, but no value above 4095: twelve bits would become black; multiply by "
            "16, or convert it to eight bits"
        )
