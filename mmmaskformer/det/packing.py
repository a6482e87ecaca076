"""mmdet's samples from a panoptic pipeline."""

from __future__ import annotations

from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from ..datasets.panoptic_transforms import PackPanopticInputs
from ..registry import TRANSFORMS
from .panoptic_encoding import encode_segments


@TRANSFORMS.register_module()
class PackPanopticDetInputs(PackPanopticInputs):
    """`PackPanopticInputs` for mmdet.

    The sample has `gt_panoptic_seg` and `gt_sem_seg` as mmdet has them, each with `sem_seg`
    (1, H, W), and `panoptic_truth`, which is `gt_panoptic_seg` of mmseg's samples.
    """

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
        return {**packed, "data_samples": sample}
