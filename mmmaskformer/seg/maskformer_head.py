"""MaskFormer as a decode head for mmseg's segmentors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModule
from torch import Tensor

from .. import core
from ..core.fusion import View
from ..registry import MODELS, TASK_UTILS


@MODELS.register_module()
class MaskFormerHead(BaseModule):
    """MaskFormer's pixel decoder, transformer decoder, loss and semantic inference.

    It works in mmseg's plain `EncoderDecoder` (train, test, slide, tensor mode). Every part is
    a config of a registered type; the defaults are the paper's.

    Args:
        in_channels: channels of the backbone's levels, fine to coarse.
        num_classes: C. Class weights and layer sizes follow from it.
        in_index: which of the backbone's outputs to use; None: all.
        channels: width of the transformer; `mask_channels`: that of the mask embeddings.
        pixel_decoder: config; gets `in_channels` and `mask_channels`.
        transformer_decoder: config; gets `channels`.
        deep_supervision: whether every decoder layer is trained, or the last one only.
        loss_cls, loss_mask, loss_dice: configs; `loss_weight` is the weight in the sum.
        assigner: config; a list `match_costs` in it is built, too.
        fusion: config of the semantic inference.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        in_index: Sequence[int] | None = None,
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
        assigner: dict | None = None,
        fusion: dict | None = None,
        ignore_index: int = 255,
        align_corners: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if align_corners:
            raise ValueError("align_corners must be False: MaskFormer resizes half-pixel centred")
        self.in_index = tuple(in_index) if in_index is not None else tuple(range(len(in_channels)))
        self.num_classes = self.out_channels = num_classes
        self.align_corners = align_corners
        self.ignore_index = ignore_index
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
        self.criterion = core.MaskFormerCriterion(
            build_assigner(assigner),
            loss_cls=build_part(loss_cls, "ClassLoss"),
            loss_mask=build_part(loss_mask, "FocalLoss"),
            loss_dice=build_part(loss_dice, "DiceLoss"),
        )
        self.fusion = build_part(fusion, "SemanticFusion", registry=TASK_UTILS)

    def factors(self, features: Sequence[Tensor]) -> core.FactoredOutput:
        """Backbone features to factored output; all layers while training, else the last."""
        return self.predictor([features[i] for i in self.in_index])

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tensor mode: class logits (B, Q, C + 1) and mask logits (B, Q, h, w)."""
        output = self.factors(features)
        return output.class_logits[-1], output.mask_logits()

    def loss(self, features: Sequence[Tensor], data_samples: list, train_cfg: dict) -> dict:
        """Losses of a training batch; `gt_sem_seg` of the samples is the ground truth.

        Raises:
            ValueError: a label outside the range; names the file, the values and the range.
            NonFiniteCostError: training diverged; names image, layer, cost, learning rate.
        """
        labels = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        names = [
            sample.metainfo.get("img_path", f"image {i} of the batch")
            for i, sample in enumerate(data_samples)
        ]
        targets = core.segments_from_semantic(labels, self.num_classes, self.ignore_index, names)
        try:
            return self.criterion(self.factors(features), targets)
        except core.NonFiniteCostError as error:
            raise core.NonFiniteCostError(f"{error}; {current_learning_rate()}") from error

    def predict(
        self, features: Sequence[Tensor], batch_img_metas: list[dict], test_cfg: dict
    ) -> Tensor:
        """Score maps (B, C, H, W) at the size of the network's input, padding included."""
        output = self.factors(features)
        return self.scores(output, input_size(batch_img_metas[0], test_cfg, output))

    def scores(self, output: core.FactoredOutput, size: Sequence[int]) -> Tensor:
        """Score maps (B, C, H, W) at the input's size (H, W)."""
        return torch.stack(
            [
                self.fusion.scores([View.of(output, image, size)], size)
                for image in range(output.batch_size)
            ]
        )


def build_part(cfg: dict | None, default: str, *, registry=MODELS, **defaults):
    """Build a registered part; types without a scope are looked up in ours first.

    The config's own values win over `defaults`; the config is not written to.
    """
    cfg = {"type": default, **defaults, **(cfg or {})}
    if isinstance(cfg["type"], str) and "." not in cfg["type"] and cfg["type"] in registry:
        cfg["type"] = registry.get(cfg["type"])
    return registry.build(cfg)


def build_assigner(cfg: dict | None) -> core.HungarianAssigner:
    """Build the assigner and the match costs in its config."""
    cfg = dict(cfg or {})
    if cfg.get("match_costs") is not None:
        cfg["match_costs"] = [
            build_part(cost, "ClassificationCost", registry=TASK_UTILS)
            for cost in cfg["match_costs"]
        ]
    return build_part(cfg, "HungarianAssigner", registry=TASK_UTILS)


def input_size(meta: dict, test_cfg: dict | None, output: core.FactoredOutput) -> tuple[int, int]:
    """Size of the network's input, which mmseg does not hand to a head: the window when
    sliding, else the padded shape, else the image's; checked against the stride-4 grid."""
    sliding = (test_cfg or {}).get("mode") == "slide"
    keys = ("img_shape",) if sliding else ("pad_shape", "img_shape")
    grid = tuple(output.pixel_embed.shape[-2:])
    shapes = [tuple(int(s) for s in meta[key][:2]) for key in keys if meta.get(key) is not None]
    for height, width in shapes:
        if (-(-height // 4), -(-width // 4)) == grid:
            return height, width
    raise ValueError(
        f"none of {shapes} ({', '.join(keys)} of {meta.get('img_path', 'the sample')}) fits the "
        f"mask grid {grid} at stride 4"
    )


def current_learning_rate() -> str:
    """The learning rate that mmengine logged for this iteration, for error messages."""
    scalars = MessageHub.get_current_instance().log_scalars
    if "train/lr" not in scalars:
        return "learning rate unknown"
    return f"learning rate {scalars['train/lr'].current():.3g}"
