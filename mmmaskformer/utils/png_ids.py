"""COCO's panoptic pngs: a pixel's segment id is R + 256 G + 65536 B; 0 is void."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from .text import unreadable

NUM_IDS = 1 << 24
"""Ids are below this: three channels of eight bits."""


def decode_ids(content: bytes, name: str) -> np.ndarray:
    """Segment ids (H, W) int32 of an encoded panoptic png; alpha is ignored.

    Pillow refuses truncated files, which OpenCV fills up.

    Raises:
        ValueError: damaged, or no RGB image of eight bits; names the file `name`.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, (width, height) = image.mode, image.size
            if mode in ("RGB", "RGBA"):
                # Four bytes per pixel is how pillow keeps them: one copy, no arithmetic.
                pixels = image.tobytes("raw", "RGBX" if mode == "RGB" else "RGBA")
    except Exception as error:
        raise unreadable(f"panoptic map {name}", error) from error
    if mode not in ("RGB", "RGBA"):
        raise ValueError(
            f"panoptic map {name} must be RGB, ids as R + 256 G + 65536 B; it is of mode {mode}"
        )
    return np.frombuffer(pixels, "<i4").reshape(height, width) & (NUM_IDS - 1)


def ids_to_colors(ids: np.ndarray) -> np.ndarray:
    """Segment ids (H, W) to the (H, W, 3) uint8 RGB of a panoptic png."""
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], -1).astype(np.uint8)
