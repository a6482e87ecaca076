"""MaX-DeepLab as a decode head, and its auxiliary semantic head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.checks import check_number
from ..core.per_pixel import check_grid, pixel_cross_entropy
from ..core.view_merging import merge_views
from ..core.views import AnyView, View
from ..registry import MODELS
from .panoptic_deeplab import center_targets, mean_of_images
from .slot_fusion import GridView, slot_logits
from .things_head import PanopticHead, ThingsHead


@MODELS.register_module()
class MaXDeepLabHead(PanopticHead):
    """MaX-DeepLab's classes and masks of slots, losses and inference, over `MaXDeepLabBackbone`.

    `in_channels` are those of the last map at stride 4, and of the slots' features for classes and
    for masks; `in_index` is [0, -2, -1].
    """

    decoder_type, criterion_type = "MaXDeepLab", "MaXDeepLabCriterion"
    fusion_type, panoptic_type = "SlotFusion", "SlotPanopticFusion"

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tensor mode: class logits (B, N, C + 1) and mask logits (B, N, h, w)."""
        return self.predictor(self.select(features))[:2]

    def views(
        self,
        features: Sequence[Tensor],
        input_size: Sequence[int],
        contents: Sequence[Sequence[int]],
        flips: Sequence[bool],
    ) -> list[AnyView]:
        """See `BandedHead.views`."""
        class_logits, mask_logits = (logits.float() for logits in self(features))
        check_grid(mask_logits.shape[-2:], input_size)
        height, width = map(int, input_size)
        placed = zip(class_logits.softmax(-1), mask_logits, contents, flips, strict=True)
        return [
            GridView(classes, masks, (height, width), (int(rows), int(columns)), flip)
            for classes, masks, (rows, columns), flip in placed
        ]

    def merge(self, views: Sequence[View]) -> View:
        """See `BandedHead.merge`."""
        return merge_views(views, logits_at=slot_logits, mask_prob=lambda maps: maps.softmax(0))


@MODELS.register_module()
class MaXDeepLabSemanticHead(ThingsHead):
    """Semantic segmentation beside MaX-DeepLab, as an `auxiliary_head` for training only: cross
    entropy at every fourth pixel, averaged as `pq_style` says.

    Args:
        in_channels: of the backbone's levels in between, `in_index` [1, 2, 3] of S, [1] of L.
        small_area: things of fewer pixels have `small_weight` (L: 3), all other pixels 1.
        loss_weight: of the loss in the sum.
        base: further arguments of `ThingsHead`.
    """

    decoder_type, fusion_type = "MaXDeepLabSemantic", "SlotFusion"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        isthing: Sequence[bool] | str,
        *,
        small_area: int = 4096,
        small_weight: float = 1.0,
        loss_weight: float = 1.0,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, isthing, **base)
        self.targets: dict[str, Any] = dict(
            isthing=self.isthing,
            small_area=check_number("small_area", small_area, whole=True),
            small_weight=check_number("small_weight", small_weight),
        )
        self.loss_weight = check_number("loss_weight", loss_weight)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Class logits (B, C, h, w) at stride 4."""
        return self.predictor(self.select(features))

    def loss(self, features: Sequence[Tensor], data_samples: list, train_cfg: dict) -> dict:
        """Loss of a training batch."""
        targets = self.segments.read(data_samples)
        logits = self(features).float()
        check_grid(logits.shape[-2:], targets[0].segment_map.shape)
        made = [center_targets(target, **self.targets) for target in targets]
        classes = torch.stack([one.classes[::4, ::4] for one in made])
        weights = torch.stack([one.weight[::4, ::4] for one in made])
        losses = pixel_cross_entropy(logits, classes) * weights
        mean = mean_of_images(losses)
        return {"loss_semantic": self.loss_weight * mean}
