"""What can be predicted, as a stream of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.inferencers import as_image
from ..datasets.loading import LoadImageFromFile


@dataclass(frozen=True)
class Frame:
    """An image to predict.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        name: what results and messages call it: a path, a URL, or "array 3", "street.mp4 frame 3".
    """

    image: np.ndarray
    name: str


def frames(source: Any) -> Iterator[Frame]:
    """The images of a source: a path, or an array in BGR order."""
    if isinstance(source, (str, Path)):
        image = LoadImageFromFile().transform({"img_path": str(source)})["img"]
        yield Frame(image[..., ::-1], str(source))
    else:
        yield Frame(as_image(source)[..., ::-1], "array 0")
