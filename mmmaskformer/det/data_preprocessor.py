"""mmdet's data preprocessor, which also makes the segments of training samples."""

from __future__ import annotations

from mmdet.models.data_preprocessors import DetDataPreprocessor

from ..heads.segments import SegmentMaker, check_packed
from ..registry import MODELS
from .panoptic_encoding import add_panoptic_truth


@MODELS.register_module()
class MaskFormerDetDataPreprocessor(DetDataPreprocessor):
    """mmdet's `DetDataPreprocessor`; segments are made and checked on the host and noted in the
    samples as `gt_segments`, see `heads.segments`.

    Attributes:
        segments: what makes the segments; the detector sets its head's.
    """

    segments: SegmentMaker | None = None

    def forward(self, data: dict, training: bool = False) -> dict:
        """See `DetDataPreprocessor.forward`."""
        if not training or self.segments is None:
            return super().forward(data, training)
        check_packed(data)
        made = None
        if self.batch_augments is None:
            add_panoptic_truth(data["data_samples"], self.segments.num_classes)
            made = self.segments.make(data["data_samples"])
        data = super().forward(data, training)
        add_panoptic_truth(data["data_samples"], self.segments.num_classes)
        self.segments.note(data["data_samples"], data["inputs"].shape[-2:], made)
        return data
