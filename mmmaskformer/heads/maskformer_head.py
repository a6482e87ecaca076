"""MaskFormer as a decode head, for segmentors and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import MessageHub
from torch import Tensor

from .. import core
from ..core.checks import read_flags
from ..core.criterion import start_mean_segments
from ..core.matcher import Assigner
from ..core.views import View
from ..registry import DATASETS, MODELS, TASK_UTILS
from .base import BandedHead, build_fusion, build_part, check_is_config, check_parts


@MODELS.register_module()
class MaskFormerHead(BandedHead):
    """MaskFormer's pixel decoder, transformer decoder, loss and inference.

    It works in mmseg's plain `EncoderDecoder` (train, test, slide, tensor mode). Every part is
    a config of a registered type; the defaults are the paper's.

    Args:
        in_channels: channels of the backbone's levels, fine to coarse.
        num_classes: C, at least 1. Class weights and layer sizes follow from it. Where there is
            one class, semantic inference gives it every pixel; its scores, and panoptic and
            instance inference, tell it from "no object".
        channels: width of the transformer; `mask_channels`: that of the mask embeddings.
        pixel_decoder: config; gets `in_channels` and `mask_channels`.
        transformer_decoder: config; gets `channels`.
        deep_supervision: whether every decoder layer is trained, or the last one only.
        loss_cls, loss_mask, loss_dice: configs; `loss_weight` is the weight in the sum. What
            they have to give is in `core.MaskFormerCriterion`.
        mask_loss_kernel: what computes the last two, "auto", "eager" or "triton"; see
            `core.chunked_mask_loss`.
        assigner: config; a list `match_costs` in it is built, too.
        criterion: config of another criterion than matching and these three losses, which must
            not be given then; gets `isthing`.
        fusion: config of the semantic inference.
        isthing: for each class whether it is a thing, or the name of a registered dataset whose
            metadata says so. None: the head has semantic inference only.
        panoptic_fusion, instance_fusion: configs of those; they get `isthing`. Where queries
            compete (`SlotFusion`), both fusions must be of that kind, and there is no instance
            inference.
        base: further arguments of `BandedHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 256,
        mask_channels: int = 256,
        num_queries: int = 100,
        pixel_decoder: dict | None = None,
        transformer_decoder: dict | None = None,
        deep_supervision: bool = True,
        project_memory: bool | None = None,
        loss_cls: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        mask_loss_kernel: str = "auto",
        assigner: dict | None = None,
        criterion: dict | None = None,
        fusion: dict | None = None,
        isthing: Sequence[bool] | str | None = None,
        panoptic_fusion: dict | None = None,
        instance_fusion: dict | None = None,
        **base,
    ) -> None:
        fusion = build_fusion(fusion, "SemanticFusion")
        super().__init__(in_channels, num_classes, fusion=fusion, **base)
        self.predictor = core.MaskFormerPredictor(
            build_part(
                pixel_decoder,
                "FPNPixelDecoder",
                in_channels=in_channels,
                channels=channels,
                mask_channels=mask_channels,
            ),
            build_part(transformer_decoder, "TransformerDecoder", channels=channels),
            num_classes=num_classes,
            num_queries=num_queries,
            mask_channels=mask_channels,
            deep_supervision=deep_supervision,
            project_memory=project_memory,
        )
        things = read_things(isthing, num_classes)
        losses: dict[str, Any] = dict(
            assigner=assigner, loss_cls=loss_cls, loss_mask=loss_mask, loss_dice=loss_dice
        )
        if criterion is None:
            self.criterion = self.build_losses(losses, mask_loss_kernel)
        else:
            kernel = None if mask_loss_kernel == "auto" else mask_loss_kernel
            losses["mask_loss_kernel"] = kernel
            self.criterion = build_criterion(criterion, losses, things)
        self.panoptic_fusion = build_with_things(panoptic_fusion, "PanopticFusion", things)
        check_parts(self)
        things = None if fusion.queries_compete else things
        self.instance_fusion = build_with_things(instance_fusion, "InstanceFusion", things)

    def build_losses(self, losses: dict[str, Any], kernel: str) -> core.MaskFormerCriterion:
        """The paper's criterion, of the configs of its assigner and its three losses."""
        criterion = core.MaskFormerCriterion(
            build_assigner(losses["assigner"]),
            loss_cls=build_part(losses["loss_cls"], "ClassLoss"),
            loss_mask=build_part(losses["loss_mask"], "FocalLoss"),
            loss_dice=build_part(losses["loss_dice"], "DiceLoss"),
            mask_loss_kernel=kernel,
            num_classes=self.num_classes,
        )
        if isinstance(criterion.loss_cls, core.ClassLoss):
            criterion.loss_cls.weights(torch.empty(0, self.num_classes + 1))  # there are enough
        return criterion

    def factors(self, features: Sequence[Tensor]) -> core.FactoredOutput:
        """Backbone features to factored output; all layers while training, else the last."""
        return self.predictor(self.select(features))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tensor mode: class logits (B, Q, C + 1) and mask logits (B, Q, h, w)."""
        output = self.factors(features)
        return output.class_logits[-1], core.layer_mask_logits(output)

    def loss(self, features: Sequence[Tensor], data_samples: list, train_cfg: dict) -> dict:
        """Losses of a training batch.

        The ground truth is that of `segments.SegmentMaker`.

        Raises:
            ValueError: a label outside the range; names the file, the values and the range.
            NonFiniteCostError: training diverged; names image, layer, cost, learning rate.
        """
        targets = self.segments.read(data_samples)
        started = {}
        if isinstance(self.criterion, core.MaskFormerCriterion):
            started["mean_segments"] = start_mean_segments(targets, features[0].device)
        try:
            return self.criterion(self.factors(features), targets, **started)
        except core.NonFiniteCostError as error:
            raise core.NonFiniteCostError(f"{error}; {current_learning_rate()}") from error

    def views(
        self,
        features: Sequence[Tensor],
        input_size: Sequence[int],
        contents: Sequence[Sequence[int]],
        flips: Sequence[bool],
    ) -> list[View]:
        """See `BandedHead.views`."""
        return core.views_of(self.factors(features), input_size, contents, flips)


def build_criterion(cfg: dict, losses: dict[str, Any], things: tuple | None):
    """A criterion of another kind, which takes none of the settings of `losses`."""
    check_is_config(cfg, "criterion")
    given = [name for name, value in losses.items() if value is not None]
    if given:
        raise ValueError(
            f"MaskFormerHead has a criterion, which takes the place of {', '.join(given)}; leave "
            "one of them out"
        )
    if "type" not in cfg:
        raise ValueError(f"the criterion of MaskFormerHead needs a type, got {dict(cfg)}")
    return build_part(cfg, "", isthing=things)


def read_things(isthing: Sequence[bool] | str | None, num_classes: int) -> tuple | None:
    """Flags of the classes, as they are or from the metadata of a registered dataset.

    Raises:
        ValueError: no such dataset, or flags for another number of classes.
    """
    if isthing is None:
        return None
    if isinstance(isthing, str):
        dataset = DATASETS.get(isthing)
        if dataset is None or "isthing" not in dataset.METAINFO:
            raise ValueError(
                f"isthing={isthing!r}: no registered dataset of this name has 'isthing' in its "
                "METAINFO"
            )
        isthing = dataset.METAINFO["isthing"]
    flags = read_flags(isthing)
    if len(flags) != num_classes:
        raise ValueError(f"num_classes is {num_classes}, but isthing has {len(flags)} flags")
    return flags


def build_with_things(cfg: dict | None, default: str, isthing: tuple | None):
    """An inference strategy that tells things from stuff; None without `isthing`."""
    check_is_config(cfg, default)
    if isthing is not None:
        return build_fusion({"isthing": isthing, **(cfg or {})}, default)
    if cfg is not None:
        raise ValueError(f"the config of {default} needs isthing")
    return None


def build_assigner(cfg: dict | None) -> Assigner:
    """Build the assigner and the match costs in its config."""
    check_is_config(cfg, "HungarianAssigner")
    cfg = dict(cfg or {})
    kind = TASK_UTILS.get(cfg["type"]) if isinstance(cfg.get("type"), str) else cfg.get("type")
    if isinstance(kind, type) and not any("__call__" in vars(base) for base in kind.__mro__):
        raise TypeError(
            f"assigner: {kind.__module__}.{kind.__name__} can not be called as HungarianAssigner is"
        )
    if cfg.get("match_costs") is not None:
        if not isinstance(cfg["match_costs"], (list, tuple)):
            raise ValueError(f"match_costs must be a list of dicts, got {cfg['match_costs']!r}")
        cfg["match_costs"] = [
            build_part(cost, "ClassificationCost", registry=TASK_UTILS)
            for cost in cfg["match_costs"]
        ]
    return build_part(cfg, "HungarianAssigner", registry=TASK_UTILS)


def current_learning_rate() -> str:
    """The learning rate that mmengine logged for this iteration, for error messages."""
    scalars = MessageHub.get_current_instance().log_scalars
    if "train/lr" not in scalars:
        return "learning rate unknown"
    return f"learning rate {scalars['train/lr'].current():.3g}"
