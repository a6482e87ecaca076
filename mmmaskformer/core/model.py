"""The front door of those who use PyTorch without OpenMMLab: MaskFormer as a plain module.

model = build_maskformer(in_channels=(64, 128, 256, 512), num_classes=5)
losses = model.criterion(model(features), targets)
labels = model.labels(features, input_size=(512, 512))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .checks import check_size
from .criterion import MaskFormerCriterion
from .fusion import BandedFusion, SemanticFusion
from .losses import ClassLoss, DiceLoss, FocalLoss
from .matcher import ClassificationCost, DiceCost, FocalCost, HungarianAssigner
from .pixel_decoder import FPNPixelDecoder, TransformerEncoderPixelDecoder
from .predictor import MaskFormerPredictor
from .structures import FactoredOutput
from .transformer import TransformerDecoder
from .views import views_of


class MaskFormer(nn.Module):
    """Backbone features in, factored output out; the losses and the inference beside it.

    Args:
        predictor: maps backbone features to a `FactoredOutput`.
        criterion: maps that and targets to a dict of weighted losses.
        fusion: the semantic inference.
    """

    def __init__(
        self,
        predictor: MaskFormerPredictor,
        criterion: MaskFormerCriterion | None = None,
        *,
        fusion: BandedFusion | None = None,
    ) -> None:
        super().__init__()
        self.predictor = predictor
        self.criterion = criterion or MaskFormerCriterion()
        self.fusion = fusion or SemanticFusion()

    def forward(self, features: Sequence[Tensor]) -> FactoredOutput:
        """The factored output of backbone features (B, C_i, H_i, W_i), fine to coarse, the first
        at stride 4; of every decoder layer while training, else of the last."""
        return self.predictor(features)

    def labels(
        self,
        features: Sequence[Tensor],
        input_size: Sequence[int],
        output_sizes: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """The class of every pixel of every image, (H, W) int64.

        Args:
            input_size: H, W of the images that the features were made of.
            output_sizes: H, W of each result; None: the input's size.
        """
        check_size("input_size", input_size)
        views = views_of(self(features), input_size)
        sizes = output_sizes or [input_size] * len(views)
        for i, size in enumerate(sizes):
            check_size(f"output_sizes[{i}]", size)
        return [self.fusion.labels([view], size) for view, size in zip(views, sizes, strict=True)]


def build_maskformer(
    in_channels: Sequence[int],
    num_classes: int,
    *,
    num_queries: int = 100,
    channels: int = 256,
    mask_channels: int = 256,
    norm_groups: int = 32,
    encoder_layers: int = 0,
    decoder_layers: int = 6,
    self_attention: bool = True,
    num_heads: int = 8,
    feedforward_channels: int = 2048,
    dropout: float = 0.1,
    deep_supervision: bool = True,
    class_weight: float = 1.0,
    mask_weight: float = 20.0,
    dice_weight: float = 1.0,
    no_object_weight: float = 0.1,
) -> MaskFormer:
    """MaskFormer with the paper's defaults (Section 4.1), for any backbone with several levels.

    Args:
        in_channels: channels of the backbone's levels, fine to coarse.
        channels: width of the pixel decoder and of the transformer.
        mask_channels: width of the mask embeddings.
        encoder_layers: transformer encoder layers on the coarsest level; 6 in the paper's
            panoptic models.
        self_attention: whether the decoder layers have self-attention (Table VIII).
        class_weight, mask_weight, dice_weight: weights in the matching and in the loss.
    """
    attention: dict[str, Any] = dict(
        num_heads=num_heads, feedforward_channels=feedforward_channels, dropout=dropout
    )
    widths: dict[str, Any] = dict(
        channels=channels, mask_channels=mask_channels, norm_groups=norm_groups
    )
    pixel_decoder: FPNPixelDecoder
    if encoder_layers:
        pixel_decoder = TransformerEncoderPixelDecoder(
            in_channels, num_layers=encoder_layers, **widths, **attention
        )
    else:
        pixel_decoder = FPNPixelDecoder(in_channels, **widths)
    predictor = MaskFormerPredictor(
        pixel_decoder,
        TransformerDecoder(
            channels, num_layers=decoder_layers, self_attention=self_attention, **attention
        ),
        num_classes=num_classes,
        num_queries=num_queries,
        mask_channels=mask_channels,
        deep_supervision=deep_supervision,
    )
    costs = [ClassificationCost(class_weight), FocalCost(mask_weight), DiceCost(dice_weight)]
    criterion = MaskFormerCriterion(
        HungarianAssigner(costs),
        loss_cls=ClassLoss(class_weight, no_object_weight=no_object_weight),
        loss_mask=FocalLoss(mask_weight),
        loss_dice=DiceLoss(dice_weight),
    )
    return MaskFormer(predictor, criterion)
