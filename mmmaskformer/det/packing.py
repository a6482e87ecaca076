"""mmdet's samples from a panoptic pipeline."""

from __future__ import annotations

from typing import Any

from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from ..core.checks import check_number
from ..datasets.panoptic_transforms import PackPanopticInputs
from ..registry import TRANSFORMS
from .panoptic_encoding import encode_segments


@TRANSFORMS.register_module()
class PackPanopticDetInputs(PackPanopticInputs):
    """`PackPanopticInputs` for mmdet.

    The sample has `gt_panoptic_seg` and `gt_sem_seg` as mmdet has them, each with `sem_seg`
    (1, H, W), and `panoptic_truth`, which is `gt_panoptic_seg` of mmseg's samples.

    Args:
        num_things: of a dataset with `things_first`; detectors with boxes then have
            `gt_instances`: `bboxes`, `labels` and `masks` of the things that have pixels.
        pack: arguments of `PackPanopticInputs`.
    """

    def __init__(self, *, num_things: int = 0, **pack: Any) -> None:
        super().__init__(**pack)
        self.num_things = check_number("num_things", num_things, whole=True)

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        source = packed["data_samples"]
        sample = DetDataSample(metainfo=source.metainfo)
        if "gt_panoptic_seg" in source:
            truth = source.gt_panoptic_seg
            sample.panoptic_truth = truth
            sample.gt_sem_seg = PixelData(sem_seg=source.gt_sem_seg.data)
            encoded = encode_segments(truth.segment_map, truth.labels, results["num_classes"])
            # mmdet's visualizer wants this one as an array.
            sample.gt_panoptic_seg = PixelData(sem_seg=encoded.numpy())
            if self.num_things:
                sample.gt_instances = instances(truth, self.num_things)
        return {**packed, "data_samples": sample}


def instances(truth: BaseDataElement, num_things: int) -> InstanceData:
    """The segments of the first `num_things` classes that have pixels, as mmdet's instances."""
    segment_map, labels = truth.segment_map[0], truth.labels
    seen = segment_map[segment_map >= 0].long().bincount(minlength=len(labels)) > 0
    chosen = (seen & (labels < num_things)).nonzero()
    pixels = (segment_map == chosen[..., None]).byte().numpy()
    masks = BitmapMasks(pixels, *segment_map.shape)
    return InstanceData(bboxes=masks.get_bboxes("hbox"), labels=labels[chosen[:, 0]], masks=masks)
