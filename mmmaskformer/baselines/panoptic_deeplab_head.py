"""Panoptic-DeepLab as a decode head, for segmentors and detectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..core.per_pixel import check_grid
from ..core.views import AnyView, PixelView
from ..registry import MODELS
from .center_fusion import CenterView
from .things_head import PanopticHead


@MODELS.register_module()
class PanopticDeepLabHead(PanopticHead):
    """Panoptic-DeepLab: classes of pixels, centres of things, and offsets to them.

    `in_channels` are those of three of the backbone's levels, fine to coarse (strides 4, 8 and the
    last), and there are at least 2 classes.
    """

    view_type = PixelView
    decoder_type, criterion_type = "PanopticDeepLab", "PanopticDeepLabCriterion"
    fusion_type, panoptic_type = "PixelProbabilityFusion", "PanopticDeepLabFusion"

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tensor mode: class logits (B, C, h, w), and heat and offsets (B, 3, h, w)."""
        return self.predictor(self.select(features))

    def views(
        self,
        features: Sequence[Tensor],
        input_size: Sequence[int],
        contents: Sequence[Sequence[int]],
        flips: Sequence[bool],
    ) -> list[AnyView]:
        """See `BandedHead.views`."""
        logits, centers = (maps.float() for maps in self(features))
        check_grid(logits.shape[-2:], input_size)
        height, width = logits.shape[-2:]
        size = (4 * height, 4 * width)  # upsampled by exactly 4
        placed = zip(logits, centers, contents, flips, strict=True)
        return [
            CenterView(one, size, (rows, columns), flip, center)
            for one, center, (rows, columns), flip in placed
        ]

    def merge(self, views: Sequence[CenterView]) -> Sequence[CenterView]:
        """The views as they are: their maps are averaged at the size of the result."""
        return views
