"""Test-time augmentation as the paper's: raw score maps of all views, averaged."""

from __future__ import annotations

from mmseg.models import SegTTAModel
from mmseg.structures import SegDataSample

from ..heads.base import BandedHead, naming
from ..registry import MODELS
from .segmentor import fuse_views, make_views


@MODELS.register_module()
class MaskFormerTTA(SegTTAModel):
    """Every view keeps its stride-4 mask logits and class probabilities only; scores are summed
    band by band at the original size.

    Models with a head of another package are merged as mmseg merges them, or by their own
    `test_views` where they have one.
    """

    def test_step(self, data: dict | list) -> list[SegDataSample]:
        """`data` holds one batch per view, as mmseg's `TestTimeAug` and collate make it."""
        module = self.module
        if hasattr(module, "test_views"):
            return module.test_views(data)
        if not isinstance(module.decode_head, BandedHead):
            return super().test_step(data)
        if module.test_cfg.get("mode", "whole") != "whole":
            raise ValueError("test-time augmentation needs test_cfg.mode 'whole'")
        merged, views = None, []
        for inputs, samples in zip(data["inputs"], data["data_samples"], strict=True):
            batch = module.data_preprocessor({"inputs": inputs, "data_samples": samples}, False)
            merged = merged or batch["data_samples"]
            views.append(make_views(module, batch["inputs"], batch["data_samples"]))
        for index, sample in enumerate(merged):
            with naming([sample.metainfo]):
                fuse_views(module, sample, [view[index] for view in views])
        return merged
