"""mmseg's data preprocessor, for test batches of images of different sizes, too."""

from __future__ import annotations

import torch
from mmseg.models import SegDataPreProcessor
from mmseg.utils import stack_batch

from ..heads.segments import SegmentMaker, check_packed, pad_panoptic_truth
from ..registry import MODELS


@MODELS.register_module()
class MaskFormerDataPreProcessor(SegDataPreProcessor):
    """mmseg's `SegDataPreProcessor`, which also makes the segments of training samples.

    The segments are made and checked on the host and noted in the samples as `gt_segments`; see
    `heads.segments`. At test time images are normalised one by one and padded with `pad_val`,
    right and bottom, to the largest of the batch, rounded up to `test_cfg['size_divisor']`.

    Args:
        channels_last: whether images are stored pixel by pixel; convolutions keep that layout,
            which tensor cores prefer, to the pixel decoder's end.

    Attributes:
        segments: what makes the segments; the segmentor sets its head's. None: nobody makes them
            here.
    """

    segments: SegmentMaker | None = None

    def __init__(self, *args, channels_last: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, data: dict, training: bool = False) -> dict:
        """See `SegDataPreProcessor.forward`; inputs are a list of (3, H, W) or a batch."""
        if training:
            return self.prepare_training(data)
        test_cfg, self.test_cfg = self.test_cfg, None
        try:
            images = [
                super(MaskFormerDataPreProcessor, self).forward({"inputs": [image]})["inputs"][0]
                for image in data["inputs"]
            ]
        finally:
            self.test_cfg = test_cfg
        padding = dict(test_cfg or {})
        if not padding.get("size"):
            padding.setdefault("size_divisor", 1)
        inputs, pads = stack_batch(
            images, pad_val=self.pad_val, seg_pad_val=self.seg_pad_val, **padding
        )
        inputs = inputs.contiguous(memory_format=self.memory_format)
        data_samples = self.cast_data(data.get("data_samples"))
        for sample, pad in zip(data_samples or (), pads, strict=bool(data_samples)):
            sample.set_metainfo(pad)
        return {"inputs": inputs, "data_samples": data_samples}

    def prepare_training(self, data: dict) -> dict:
        """A training batch with its segments."""
        check_packed(data)
        # Batch augmentations change the ground truth, so segments are made after them.
        early = self.segments is not None and self.batch_augments is None
        made = self.segments.make(data["data_samples"]) if early else None
        data = super().forward(data, training=True)
        samples, size = data["data_samples"], data["inputs"].shape[-2:]
        if self.segments is None:
            pad_panoptic_truth(samples, size)
        else:
            self.segments.note(samples, size, made)
        data["inputs"] = data["inputs"].contiguous(memory_format=self.memory_format)
        return data
