"""What an exported file says of itself, and what is done with an image before the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..utils.files import parse_json

KEY = "mmmaskformer"
"""Of the metadata in an ONNX file or a package of torch; the value is json."""
FORMAT = 1
"""Version of the metadata; readers refuse later ones."""


def read_metadata(values: Mapping[str, str], file: object) -> dict[str, Any]:
    """The metadata of the export among a file's values.

    Raises:
        ValueError: there are none, or they are of a later version; names `file`.
    """
    if KEY not in values:
        raise ValueError(f"{file} was not written by `mmmaskformer export`: it has no metadata")
    meta = parse_json(values[KEY], f"the metadata of {file}")
    if meta["format_version"] > FORMAT:
        raise ValueError(
            f"{file} has the format {meta['format_version']} and was written by mmmaskformer "
            f"{meta['package_version']}; this one reads up to {FORMAT}: install a newer one"
        )
    return meta


def resize(image: np.ndarray, rule: Mapping[str, Any] | None) -> np.ndarray:
    """An image (H, W, 3) uint8 at the size of the network's input, without padding.

    Args:
        rule: `scale` (the two largest edges, in any order) or (width, height), `keep_ratio`, and
            the `backend` that resizes, "pillow" or "cv2"; None: images keep their size.
    """
    if rule is None:
        return image
    size = resized_size(image.shape[:2], rule)
    if 0 in size:
        raise ValueError(
            f"an image of {image.shape[0]}x{image.shape[1]} pixels (height x width) would become "
            f"{size[1]}x{size[0]}; wanted one that is less narrow"
        )
    if rule["backend"] == "pillow":
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    try:
        import cv2
    except ImportError:
        raise ImportError(
            "this model resizes images with OpenCV; pip install opencv-python-headless"
        ) from None
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def resized_size(size: Sequence[int], rule: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of a resized image of `size` = (H, W)."""
    height, width = size
    first, second = rule["scale"]
    if not rule["keep_ratio"]:
        return first, second
    small, large = sorted((first, second))
    factor = min(large / max(height, width), small / min(height, width))
    return int(width * factor + 0.5), int(height * factor + 0.5)


def network_input(image: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    """A resized image (H, W, 3) as a batch of one, (1, 3, H, W) float32 in [0, 255], padded right
    and bottom to the divisor."""
    height, width, _ = image.shape
    rows, columns = (-(-length // meta["divisor"]) * meta["divisor"] for length in (height, width))
    padded = np.empty((rows, columns, 3), np.float32)
    padded[:] = np.float32(meta["pad_value"])
    padded[:height, :width] = image
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]
