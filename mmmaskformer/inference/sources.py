"""What can be predicted, as a stream of images.

An image is the path of a file, an address, a picture of pillow's, an array or a tensor. Several are
a folder, a pattern, a video, a camera, a list or anything else that can be iterated over.
"""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from ..datasets.inferencers import as_image
from ..datasets.loading import LoadImageFromFile
from ..datasets.pixels import PixelError, decode_image
from ..datasets.unlabelled import IMAGES, list_images
from ..utils.text import unreadable
from .downloads import check_scheme, fetch
from .video import VIDEOS, Video

ORDERS = ("bgr", "rgb")
FILES = (*IMAGES, *VIDEOS)
Skip = Callable[[Exception], None]


@dataclass(frozen=True)
class Frame:
    """An image to predict.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        name: what results and messages call it: a path, a URL, or "array 3", "street.mp4 frame 3".
    """

    image: np.ndarray
    name: str


def expand(source: Any) -> Any:
    """A source of several images as a list, as far as it can be listed, or one image as it is.

    The list of a folder or pattern has paths, and a `Video` for each of its videos. A list or
    another iterable stays one.

    Raises:
        OSError, ValueError, TypeError: there is no such file, folder or camera, or nothing in it.
    """
    if isinstance(source, (bool, bytes, dict)) or source is None:
        raise TypeError(f"can not predict {source!r:.60}; wanted an image, a path or a list")
    if isinstance(source, (int, np.integer)):
        return [Video(int(source))]
    if not isinstance(source, (str, os.PathLike)):
        known = isinstance(source, (Image.Image, np.ndarray, torch.Tensor, Video, Iterable))
        if not known:
            raise TypeError(
                f"can not predict a {type(source).__name__}; wanted an image, a path or a list"
            )
        return [source] if isinstance(source, Video) else source
    text = os.fspath(source)
    if "://" in text:
        check_scheme(text)
        return text
    if os.path.isdir(text):
        return [_file(path) for path in list_images(text, FILES)]
    if os.path.exists(text):
        found = _file(text)
        return [found] if isinstance(found, Video) else found
    if glob.has_magic(text):
        paths = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())
        if not paths:
            raise FileNotFoundError(f"no file matches {text}")
        return [_file(path) for path in paths]
    raise FileNotFoundError(f"{text} does not exist{_nearest(text)}")


def is_image(source: Any) -> bool:
    """Whether an expanded source is one image."""
    return isinstance(source, (str, os.PathLike, Image.Image, np.ndarray, torch.Tensor))


def count(source: Any) -> int | None:
    """How many images an expanded source has; None: nobody knows before the end."""
    if is_image(source):
        return 1
    if not isinstance(source, (list, tuple)):
        return None
    total = 0
    for item in source:
        if isinstance(item, Video):
            try:
                frames_of_it = None if isinstance(item.source, int) else item.properties()[1]
            except (OSError, ValueError):  # the stream says so when it comes to it
                return None
            if frames_of_it is None:
                return None
            total += frames_of_it
        elif isinstance(item, str) and "://" not in item and not os.path.isfile(item):
            return None
        else:
            total += 1
    return total


def frames(source: Any, channel_order: str = "bgr", skip: Skip | None = None) -> Iterator[Frame]:
    """The images of a source, read one after another when they are asked for.

    Args:
        channel_order: of the channels of arrays, "bgr" as OpenCV reads them and mmseg takes them,
            or "rgb". Tensors (C, H, W) are in RGB order as torchvision's are, uint8, or floats
            from 0 to 1.
        skip: is told of a file, array or other item that can not be read, and the stream goes on;
            None: it ends with the error.

    Raises:
        OSError, ValueError, TypeError: an item can not be read; names it.
    """
    if channel_order not in ORDERS:
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}")
    return _frames(expand(source), channel_order, skip, _Numbers())


class _Numbers:
    """Names of what has none, each kind counted from 0."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}

    def next(self, kind: str) -> str:
        number = self.used.get(kind, 0)
        self.used[kind] = number + 1
        return f"{kind} {number}"


def _frames(source: Any, order: str, skip: Skip | None, names: _Numbers) -> Iterator[Frame]:
    for item in [source] if is_image(source) else source:
        try:
            found = item if is_image(source) else expand(item)
            if isinstance(item, Video):
                for number, image in enumerate(item):
                    yield Frame(image[..., ::-1], f"{item.name} frame {number}")
            elif is_image(found):
                yield read(found, order, names)
            else:
                yield from _frames(found, order, skip, names)
        except (OSError, ValueError, TypeError) as error:
            if skip is None:
                raise
            skip(error)


def read(image: Any, order: str, names: _Numbers) -> Frame:
    """One image."""
    if isinstance(image, (str, os.PathLike)):
        path = os.fspath(image)
        bgr = _download(path) if "://" in path else _load(path)
        return Frame(bgr[..., ::-1], path)
    if isinstance(image, Image.Image):
        name = getattr(image, "filename", "") or names.next("picture")
        return Frame(_of_picture(image, name), name)
    if isinstance(image, torch.Tensor):
        name = names.next("tensor")
        return Frame(_of_tensor(image, name), name)
    name = names.next("array")
    try:
        array = as_image(image)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return Frame(array if order == "rgb" else array[..., ::-1], name)


def _load(path: str) -> np.ndarray:
    return LoadImageFromFile().transform({"img_path": path})["img"]


def _download(url: str) -> np.ndarray:
    content = fetch(url)
    try:
        return decode_image(content, "pillow")
    except PixelError as error:
        raise ValueError(f"image {url} {error}") from error
    except Exception as error:  # pillow raises anything for files that are damaged on purpose
        raise unreadable(f"image {url}", error) from error


def _of_picture(image: Image.Image, name: str) -> np.ndarray:
    try:
        image = ImageOps.exif_transpose(image)  # as the loader of files does
        return as_image(image)[..., ::-1]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    except (OSError, SyntaxError) as error:  # it is read from its file only now
        raise unreadable(f"image {name}", error) from error


def _of_tensor(tensor: torch.Tensor, name: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a tensor (C, H, W)."""
    values = tensor.detach().cpu()
    wanted = values.dtype == torch.uint8 or values.dtype.is_floating_point
    if not wanted or values.ndim != 3 or len(values) not in (1, 3, 4):
        raise ValueError(
            f"{name} is of {values.dtype} and shape {tuple(values.shape)}; wanted (C, H, W) with "
            "1, 3 or 4 channels in RGB order, uint8, or floats from 0 to 1"
        )
    if not values.numel():
        raise ValueError(f"{name} is of shape {tuple(values.shape)}, without a pixel")
    if values.dtype != torch.uint8:
        values = values.float()
        if not (values.min() >= 0 and values.max() <= 1):  # NaN, too
            raise ValueError(f"{name} has values outside of 0 to 1; wanted none, or uint8")
        values = values.mul(255).round().byte()
    return as_image(values.permute(1, 2, 0).contiguous().numpy())


def _file(path: str) -> str | Video:
    return Video(path) if Path(path).suffix.lower() in VIDEOS else path


def _nearest(path: str) -> str:
    folder = os.path.dirname(path) or "."
    others = os.listdir(folder) if os.path.isdir(folder) else []
    others = [name for name in others if name != os.path.basename(path)]  # a dangling link
    near = difflib.get_close_matches(os.path.basename(path), others, 1)
    return f"; did you mean {os.path.join(os.path.dirname(path), near[0])}?" if near else ""
