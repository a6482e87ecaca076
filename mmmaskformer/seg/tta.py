"""Test-time augmentation as the paper's: raw score maps of all views, averaged."""

from __future__ import annotations

from mmseg.models import SegTTAModel
from mmseg.structures import SegDataSample

from ..registry import MODELS
from .segmentor import MaskFormer


@MODELS.register_module()
class MaskFormerTTA(SegTTAModel):
    """Every view keeps its factors only; scores are summed band by band at the original size.

    Models other than `MaskFormer` are merged as mmseg merges them.
    """

    def test_step(self, data: dict | list) -> list[SegDataSample]:
        """`data` holds one batch per view, as mmseg's `TestTimeAug` and collate make it."""
        module = self.module
        if not isinstance(module, MaskFormer):
            return super().test_step(data)
        merged, views = None, []
        for inputs, samples in zip(data["inputs"], data["data_samples"]):
            batch = module.data_preprocessor({"inputs": inputs, "data_samples": samples}, False)
            merged = merged or batch["data_samples"]
            views.append(module.views(batch["inputs"], batch["data_samples"]))
        for index, sample in enumerate(merged):
            module.fuse(sample, [view[index] for view in views])
        return merged
