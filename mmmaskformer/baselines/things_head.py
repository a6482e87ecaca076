"""What the decode heads of systems that tell things from stuff share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..heads.base import BandedHead, build_fusion, build_part, check_parts
from ..heads.maskformer_head import build_with_things, read_things


class ThingsHead(BandedHead):
    """A head with a network of its own. A subclass says which, and which fusion it has.

    Args:
        in_channels: channels of the backbone's levels that the network takes.
        num_classes: C.
        isthing: for each class whether it is a thing, or the name of a registered dataset whose
            metadata says so.
        decoder: config of the network; gets `in_channels` and `num_classes`.
        fusion: config of the semantic inference.
        base: further arguments of `BandedHead`; `in_index` where the backbone has other levels,
            too.
    """

    decoder_type: str
    fusion_type: str

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        isthing: Sequence[bool] | str,
        *,
        decoder: dict | None = None,
        fusion: dict | None = None,
        **base: Any,
    ) -> None:
        fusion = build_fusion(fusion, self.fusion_type)
        super().__init__(in_channels, num_classes, fusion=fusion, **base)
        things = read_things(isthing, num_classes)
        if things is None:
            raise ValueError(f"{type(self).__name__} needs isthing, True or False for each class")
        self.isthing = things
        sizes = dict(in_channels=in_channels, num_classes=num_classes)
        self.predictor = build_part(decoder, self.decoder_type, **sizes)


class PanopticHead(ThingsHead):
    """A `ThingsHead` with a criterion and panoptic, but no instance inference.

    Args:
        criterion: config of the losses; gets `isthing`.
        panoptic_fusion: config of the panoptic inference; gets `isthing`.
        base: further arguments of `ThingsHead`.
    """

    criterion_type: str
    panoptic_type: str

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        isthing: Sequence[bool] | str,
        *,
        criterion: dict | None = None,
        panoptic_fusion: dict | None = None,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, isthing, **base)
        things = self.isthing
        self.criterion = build_part(criterion, self.criterion_type, isthing=things)
        self.panoptic_fusion = build_with_things(panoptic_fusion, self.panoptic_type, things)
        check_parts(self)

    def loss(self, features: Sequence[Tensor], data_samples: list, train_cfg: dict) -> dict:
        """Losses of a training batch.

        Raises:
            ValueError: a label outside the range; names the file, the values and the range.
            NonFiniteCostError: training diverged, where slots are matched; names the image.
        """
        targets = self.segments.read(data_samples)
        return self.criterion(*self.predictor(self.select(features)), targets)
