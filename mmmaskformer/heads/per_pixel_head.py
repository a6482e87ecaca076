"""The paper's per-pixel baselines as decode heads for mmseg's segmentors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import core
from ..core.per_pixel import check_grid
from ..core.views import PixelView
from ..registry import MODELS
from .base import BandedHead, build_fusion, build_part


class PerPixelHead(BandedHead):
    """Loss and inference of per-pixel class logits (L, B, C, h, w) from `predictor`.

    Args:
        make_predictor: what makes the predictor of a built pixel decoder.
        pixel_decoder: config; gets `in_channels`, `channels` and `mask_channels`.
        loss_cls: config of the criterion; `loss_weight` is its weight.
        fusion: config of the inference.
        base: further arguments of `BandedHead`.
    """

    view_type = PixelView

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        make_predictor: Callable[..., torch.nn.Module],
        *,
        channels: int = 256,
        mask_channels: int = 256,
        pixel_decoder: dict | None = None,
        loss_cls: dict | None = None,
        fusion: dict | None = None,
        **base,
    ) -> None:
        fusion = build_fusion(fusion, "PerPixelFusion")
        widths = dict(in_channels=in_channels, channels=channels, mask_channels=mask_channels)
        predictor = make_predictor(
            build_part(pixel_decoder, "FPNPixelDecoder", **widths),
            num_classes=num_classes,
            mask_channels=mask_channels,
        )
        super().__init__(in_channels, num_classes, fusion=fusion, **base)
        self.predictor = predictor
        self.criterion = build_part(loss_cls, "PerPixelCriterion")
        if not isinstance(self.criterion, core.PerPixelCriterion):
            raise TypeError(
                f"loss_cls must be a PerPixelCriterion, got {type(self.criterion).__name__}, which "
                "takes the logits of one layer"
            )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Tensor mode: class logits (B, C, h, w) at stride 4."""
        return self.predictor(self.select(features))[-1]

    def loss(self, features: Sequence[Tensor], data_samples: list, train_cfg: dict) -> dict:
        """Losses and pixel accuracy of a training batch.

        Raises:
            ValueError: a label outside the range; names the file, the values and the range.
        """
        targets = self.segments.read(data_samples)
        classes = torch.stack([core.class_map(target, self.num_classes) for target in targets])
        logits = self.predictor(self.select(features))
        losses = self.criterion(logits, classes)
        with torch.no_grad():
            # At stride 4, and for the log only.
            coarse = classes[:, ::4, ::4]
            right = (logits[-1].argmax(1) == coarse).sum()
            valid = (coarse < self.num_classes).sum().clamp(min=1)
            losses["acc_seg"] = 100 * right / valid
        return losses

    def views(
        self,
        features: Sequence[Tensor],
        input_size: Sequence[int],
        contents: Sequence[Sequence[int]],
        flips: Sequence[bool],
    ) -> list[PixelView]:
        """See `BandedHead.views`."""
        logits = self(features)
        check_grid(logits.shape[-2:], input_size)
        height, width = logits.shape[-2:]
        placed = zip(map(tuple, contents), flips, strict=True)
        return [
            PixelView(one.float(), (4 * height, 4 * width), content, flip)  # upsampled by exactly 4
            for one, (content, flip) in zip(logits, placed, strict=True)
        ]


@MODELS.register_module()
class PerPixelBaselineHead(PerPixelHead):
    """PerPixelBaseline: pixel decoder and a linear classifier (paper, Section 4.1).

    Args:
        base: further arguments of `PerPixelHead`.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, **base) -> None:
        super().__init__(in_channels, num_classes, core.PerPixelBaseline, **base)


@MODELS.register_module()
class PerPixelBaselinePlusHead(PerPixelHead):
    """PerPixelBaseline+: MaskFormer's network, query c answering for class c, per-pixel loss on
    every decoder layer (paper, Section 4.1).

    Args:
        transformer_decoder, deep_supervision, project_memory: as those of `MaskFormerHead`.
        base: further arguments of `PerPixelHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 256,
        transformer_decoder: dict | None = None,
        deep_supervision: bool = True,
        project_memory: bool | None = None,
        **base,
    ) -> None:
        def make_predictor(pixel_decoder: torch.nn.Module, **sizes) -> torch.nn.Module:
            return core.PerPixelBaselinePlus(
                pixel_decoder,
                build_part(transformer_decoder, "TransformerDecoder", channels=channels),
                deep_supervision=deep_supervision,
                project_memory=project_memory,
                **sizes,
            )

        super().__init__(in_channels, num_classes, make_predictor, channels=channels, **base)
