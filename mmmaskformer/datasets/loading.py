"""Loading of images and label maps; a file that can not be used is named in the error."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadAnnotations as MMCVLoadAnnotations
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile

from ..registry import TRANSFORMS
from ..utils.text import unreadable
from .pixels import PixelError, decode_image, read_bytes


@TRANSFORMS.register_module()
class LoadImageFromFile(MMCVLoadImageFromFile):
    """mmcv's, decoding with pillow, which refuses truncated files where OpenCV paints them grey.

    All images become three-channel BGR of eight bits; `pixels` has the rule, and refuses the rest.
    """

    def __init__(self, imdecode_backend: str = "pillow", **kwargs) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)

    def transform(self, results: dict) -> dict | None:
        path = results["img_path"]
        try:
            content = read_bytes(path, self.backend_args)
            image = decode_image(content, self.imdecode_backend, self.color_type)
        except Exception as error:
            if self.ignore_empty:
                return None
            if isinstance(error, FileNotFoundError):
                raise
            if isinstance(error, PixelError):
                raise ValueError(f"image {path} {error}") from error
            raise unreadable(f"image {path}", error) from error
        if not image.flags.c_contiguous:
            # A reversed view of pillow's RGB: every later step would copy it slowly.
            image = cv2.cvtColor(image[..., ::-1], cv2.COLOR_RGB2BGR)
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadAnnotations(MMCVLoadAnnotations):
    """Semantic label map of any integer depth, values as in the file.

    With the dataset's `reduce_zero_label`, 0 becomes `ignore_index` and every other class moves
    down by one.
    """

    def __init__(self, ignore_index: int = 255, imdecode_backend: str = "pillow", **kwargs) -> None:
        super().__init__(
            with_bbox=False,
            with_label=False,
            with_seg=True,
            imdecode_backend=imdecode_backend,
            **kwargs,
        )
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        # An image to predict has no annotations.
        return super().transform(results) if "seg_map_path" in results else results

    def _load_seg_map(self, results: dict) -> None:
        path = results["seg_map_path"]
        labels = read_labels(path, self.imdecode_backend, self.backend_args)
        check_size("label map", path, labels, results)
        results["gt_seg_map"] = map_labels(
            labels, self.ignore_index, results.get("reduce_zero_label"), results.get("label_map")
        )
        results["seg_fields"].append("gt_seg_map")


def read_labels(
    path: str, backend: str | None = "pillow", backend_args: dict | None = None
) -> np.ndarray:
    """Label map (H, W) of any integer depth, as in the file.

    Raises:
        FileNotFoundError: as it says.
        ValueError: damaged, several channels, or values that are no integers in [0, 65535].
    """
    try:
        labels = mmcv.imfrombytes(read_bytes(path, backend_args), flag="unchanged", backend=backend)
        labels = np.asarray(labels)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise unreadable(f"label map {path}", error) from error
    if labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[..., 0]
    if labels.ndim != 2:
        raise ValueError(
            f"label map {path} must have one channel of class indices, got shape {labels.shape}"
        )
    if labels.dtype.kind not in "bui" or labels.min(initial=0) < 0 or labels.max() > 65535:
        raise ValueError(
            f"label map {path} must hold integers in [0, 65535], got {labels.dtype} from "
            f"{labels.min()} to {labels.max()}"
        )
    return labels


def check_size(what: str, path: str, labels: np.ndarray, results: dict) -> None:
    """Raise ValueError unless the map is as large as the image, where that has been read."""
    shape = results.get("ori_shape")
    if shape is not None and labels.shape != tuple(shape[:2]):
        raise ValueError(
            f"{what} {path} is {labels.shape[0]}x{labels.shape[1]} (height x width), but "
            f"its image {results.get('img_path')} is {shape[0]}x{shape[1]}"
        )


def map_labels(
    labels: np.ndarray,
    ignore_index: int,
    reduce_zero_label: bool | None = False,
    label_map: dict[int, int] | None = None,
) -> np.ndarray:
    """Labels of a file to class indices, uint8 or uint16: `reduce_zero_label`, then `label_map`."""
    label_map = label_map or {}
    largest = max(labels.max(initial=0), ignore_index, *label_map.values(), 0)
    labels = labels.astype(np.uint8 if largest <= 255 else np.uint16)
    if reduce_zero_label:
        ignored = (labels == 0) | (labels == ignore_index)
        labels = np.where(ignored, ignore_index, labels - 1).astype(labels.dtype)
    original = labels.copy()
    for old, new in label_map.items():
        labels[original == old] = new
    return labels
