"""Runs an exported model on images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..utils.files import check_input
from ..utils.images import PixelError, decode_colors, to_colors
from ..utils.text import unreadable
from .fusion import Factors, read_factors
from .metadata import network_input, read_metadata, resize
from .result import Result


class Runner:
    """An ONNX file of `mmmaskformer export` that predicts images.

    Args:
        file: the exported file.
        providers: onnxruntime's execution providers, best first.
        threads: that onnxruntime may use for the network; 0: one for each core.

    Attributes:
        meta: the file's metadata; `docs/export.md` lists the keys.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is not an export of ours.
        ImportError: onnxruntime is missing.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
    ) -> None:
        self.session = open_session(file, providers, threads)
        self.meta = read_metadata(self.session.get_modelmeta().custom_metadata_map, file)

    def __call__(self, image: str | Path | Image.Image | np.ndarray) -> Result:
        """The answer for an image: a path, a picture of pillow's, or (H, W, 3) uint8 RGB.

        Raises:
            FileNotFoundError, ValueError: the image can not be read; names it.
        """
        pixels, name = read_image(image)
        factors = self.factors(resize(pixels, self.meta["resize"]))
        return Result(pixels, name, factors, self.meta)

    def factors(self, resized: np.ndarray) -> Factors:
        """What the network says of an image (H, W, 3) that is already resized."""
        batch = network_input(resized, self.meta)
        wanted = ["class_logits", "mask_logits"]
        class_logits, mask_logits = self.session.run(wanted, {"image": batch})
        content = resized.shape[0], resized.shape[1]
        size = batch.shape[2], batch.shape[3]
        return read_factors(class_logits[0], mask_logits[0], size, content)


def open_session(
    file: str | Path, providers: Sequence[str] = ("CPUExecutionProvider",), threads: int = 0
) -> Any:
    """An onnxruntime session of a file; errors as `Runner`."""
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("ONNX files need onnxruntime; pip install onnxruntime") from None
    check_input(file, "exported model")
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(str(file), options, providers=list(providers))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{file} is no ONNX file that onnxruntime can run ({reason})") from None


def read_image(image: str | Path | Image.Image | np.ndarray) -> tuple[np.ndarray, str]:
    """The pixels (H, W, 3) uint8 RGB of an image, and what it is called."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(
                f"the image is an array of {image.dtype} and shape {image.shape}; wanted uint8 of "
                "shape (H, W, 3) in RGB order"
            )
        return image, "array"
    if isinstance(image, Image.Image):
        return to_colors(image), "picture"
    check_input(image, "image")
    try:
        return decode_colors(Path(image).read_bytes()), str(image)
    except PixelError as error:
        raise ValueError(f"image {image} {error}") from error
    except Exception as error:
        raise unreadable(f"image {image}", error) from error
