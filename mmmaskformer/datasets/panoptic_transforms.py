"""Panoptic ground truth in a pipeline: one map of small integers, whatever the segments.

`gt_seg_map` (H, W) holds 256 + the index of the segment that owns a pixel, and 0 for void and
crowd; `segment_labels` (G,) the classes. mmcv's and mmseg's transforms work on that map as on a
semantic one. All values below 256 are void, so they may pad with any; give mmseg's RandomCrop
`ignore_index=0`. A segment that is cropped away keeps its number and owns no pixel.
"""

from __future__ import annotations

import mmap

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Resize
from mmengine.structures import BaseDataElement
from mmseg.datasets.transforms import PackSegInputs

from ..core import NO_SEGMENT
from ..registry import TRANSFORMS
from ..utils.png_ids import NUM_IDS
from ..utils.text import listing
from .loading import check_size
from .panoptic_format import read_ids

FIRST = 256
"""Value of the first segment in `gt_seg_map`; smaller ones are void, so that padding with 0 or
255 is."""
MOST = (1 << 16) - FIRST - 1
"""Segments of an image, at most: one value more is left to padding with 65535."""


@TRANSFORMS.register_module()
class LoadPanopticAnnotations(BaseTransform):
    """Load `gt_seg_map` and `segment_labels` from `seg_map_path` and `segments_info`.

    Args:
        with_ids: also keep the ids as in the png, crowds included, in `panoptic_ids` (H, W)
            int32, for metrics. Load after the image is resized: metrics want the original size.

    Raises:
        ValueError: the png is damaged, differs in size from the image, or its ids are not those
            of the json; names the file and the ids.
    """

    def __init__(self, with_ids: bool = False, backend_args: dict | None = None) -> None:
        self.with_ids = with_ids
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        path = results.get("seg_map_path")
        if path is None:  # an image to predict
            return results
        ids = read_ids(path, self.backend_args)
        check_size("panoptic map", path, ids, results)
        segments = results["segments_info"]
        results["gt_seg_map"] = number_segments(ids, segments, path)
        results["segment_labels"] = np.array(
            [s["category_id"] for s in segments if not s["iscrowd"]], np.int64
        )
        if self.with_ids:
            results["panoptic_ids"] = ids
        results["seg_fields"].append("gt_seg_map")
        return results


def number_segments(ids: np.ndarray, segments: list[dict], name: str) -> np.ndarray:
    """Segment ids (H, W) to 256 + index among the segments that are no crowd; 0: void and crowd.

    Returns:
        (H, W) uint16.

    Raises:
        ValueError: ids that only the map or only `segments` has.
    """
    kept = sum(not s["iscrowd"] for s in segments)
    listed = [s["id"] for s in sorted(segments, key=lambda s: bool(s["iscrowd"]))]
    if len(listed) > MOST:
        raise ValueError(f"{name} has {len(listed)} segments, more than the {MOST} of a map")
    # Codes: 0 unknown, 1 void, then the segments, crowds last. The table is large, but fresh from
    # the system: pages that no id touches never exist, where numpy.zeros may fill used memory.
    dtype = np.dtype(np.uint16)
    lookup = np.frombuffer(mmap.mmap(-1, NUM_IDS * dtype.itemsize), dtype)
    lookup[0], lookup[listed] = 1, np.arange(FIRST, FIRST + len(listed))
    codes = lookup.take(ids)
    bins = FIRST + len(listed)
    pixels = cv2.calcHist([codes], [0], None, [bins], [0, bins]).ravel()
    if pixels[0]:
        unknown = np.unique(ids[codes == 0]).tolist()
        raise ValueError(f"panoptic map {name} has ids that its json lacks: {listing(unknown)}")
    absent = [i for i, count in zip(listed, pixels[FIRST:], strict=True) if count == 0]
    if absent:
        raise ValueError(f"panoptic map {name} lacks ids that its json has: {listing(absent)}")
    codes[(codes == 1) | (codes >= FIRST + kept)] = 0
    return codes


def values_of(segment_map: np.ndarray, of_segments: np.ndarray, of_void: int) -> np.ndarray:
    """A map (H, W) of `number_segments`, padded with anything, to the values (G,) of its segments;
    the type is that of `of_segments`."""
    void = np.full(FIRST, of_void, of_segments.dtype)
    return np.concatenate([void, of_segments, void[:1]]).take(segment_map, mode="clip")


@TRANSFORMS.register_module()
class AntialiasResize(Resize):
    """mmcv's `Resize` with pillow's pixels: bilinear that is antialiased where it shrinks, and
    nearest around pixel centres for maps, of any depth.

    Where an image does not shrink OpenCV computes the same, to within one of 255 levels, several
    times faster.
    """

    def _resize_img(self, results: dict) -> None:
        image = results["img"]
        size = self._size(image, results["scale"])
        factors = size[0] / image.shape[1], size[1] / image.shape[0]
        backend = "cv2" if min(factors) >= 1 else "pillow"
        results["img"] = mmcv.imresize(image, size, backend=backend)
        results.update(img_shape=size[::-1], scale_factor=factors, keep_ratio=self.keep_ratio)

    def _resize_seg(self, results: dict) -> None:
        labels = results.get("gt_seg_map")
        if labels is not None:
            size = self._size(labels, results["scale"])
            results["gt_seg_map"] = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)

    def _size(self, array: np.ndarray, scale: tuple[int, int]) -> tuple[int, int]:
        """Width and height that `scale` means for this array."""
        return mmcv.rescale_size(array.shape[1::-1], scale) if self.keep_ratio else scale


@TRANSFORMS.register_module()
class PackPanopticInputs(PackSegInputs):
    """mmseg's `PackSegInputs` for panoptic ground truth.

    The sample's `gt_panoptic_seg` holds `segment_map` (1, H, W) int32, the index of the segment
    that owns a pixel or -1, and `labels` (G,) int64; if the ids were loaded, also `ids` (H, W)
    int32 and `segments_info`, both as in the dataset, crowds included. `gt_sem_seg` is the class
    of each pixel, `ignore_index` where no segment owns it.
    """

    def __init__(self, ignore_index: int = 255, meta_keys: tuple | None = None) -> None:
        if meta_keys is None:
            super().__init__()
            self.meta_keys = (*self.meta_keys, "img_id")
        else:
            super().__init__(meta_keys)
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        if "segment_labels" not in results:  # an image without ground truth
            return super().transform(results)
        segment_map, labels = results["gt_seg_map"], results["segment_labels"]
        largest = max(labels.max(initial=0), self.ignore_index)
        classes = values_of(
            segment_map, labels.astype(np.min_scalar_type(largest)), self.ignore_index
        )
        packed = super().transform({**results, "gt_seg_map": classes})
        numbers = values_of(segment_map, np.arange(len(labels), dtype=np.int32), NO_SEGMENT)
        ground_truth = BaseDataElement()
        ground_truth.segment_map = torch.from_numpy(numbers)[None]
        ground_truth.labels = torch.from_numpy(labels)
        if "panoptic_ids" in results:
            ground_truth.ids = torch.from_numpy(results["panoptic_ids"])
            ground_truth.segments_info = results["segments_info"]
        packed["data_samples"].gt_panoptic_seg = ground_truth
        return packed
