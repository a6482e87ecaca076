"""Panoptic-DeepLab as a decode head, for segmentors and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..core.per_pixel import check_grid
from ..core.views import AnyView, PixelView
from ..heads.base import BandedHead, build_fusion, build_part
from ..heads.maskformer_head import build_with_things, read_things
from ..registry import MODELS
from .center_fusion import CenterView


@MODELS.register_module()
class PanopticDeepLabHead(BandedHead):
    """Panoptic-DeepLab: classes of pixels, centres of things, and offsets to them.

    Args:
        in_channels: channels of three of the backbone's levels, fine to coarse (strides 4, 8 and
            the last).
        num_classes: C, at least 2.
        isthing: for each class whether it is a thing, or the name of a registered dataset whose
            metadata says so.
        decoder: config of the network; gets `in_channels` and `num_classes`.
        criterion: config of the losses; gets `isthing`.
        fusion: config of the semantic inference.
        panoptic_fusion: config of the panoptic inference; gets `isthing`. There is no instance
            inference.
        base: further arguments of `BandedHead`; `in_index` where the backbone has other levels,
            too.
    """

    view_type = PixelView

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        isthing: Sequence[bool] | str,
        *,
        decoder: dict | None = None,
        criterion: dict | None = None,
        fusion: dict | None = None,
        panoptic_fusion: dict | None = None,
        **base: Any,
    ) -> None:
        fusion = build_fusion(fusion, "PixelProbabilityFusion")
        super().__init__(in_channels, num_classes, fusion=fusion, **base)
        things = read_things(isthing, num_classes)
        if things is None:
            raise ValueError("PanopticDeepLabHead needs isthing, True or False for each class")
        sizes = dict(in_channels=in_channels, num_classes=num_classes)
        self.predictor = build_part(decoder, "PanopticDeepLab", **sizes)
        self.criterion = build_part(criterion, "PanopticDeepLabCriterion", isthing=things)
        self.panoptic_fusion = build_with_things(panoptic_fusion, "PanopticDeepLabFusion", things)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tensor mode: class logits (B, C, h, w), and heat and offsets (B, 3, h, w)."""
        return self.predictor(self.select(features))

    def loss(self, features: Sequence[Tensor], data_samples: list, train_cfg: dict) -> dict:
        """Losses of a training batch.

        Raises:
            ValueError: a label outside the range; names the file, the values and the range.
        """
        targets = self.segments.read(data_samples)
        return self.criterion(*self(features), targets)

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
