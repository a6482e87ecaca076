"""MaskFormer without a framework: torch and scipy only. See `structures` for the letters."""

from .criterion import MaskFormerCriterion
from .fusion import GeneralFusion, PerPixelFusion, SemanticFusion
from .losses import ClassLoss, DiceLoss, FocalLoss
from .mask_loss import chunked_mask_loss
from .matcher import (
    ClassificationCost,
    DiceCost,
    FocalCost,
    HungarianAssigner,
    NonFiniteCostError,
)
from .panoptic_fusion import InstanceFusion, PanopticFusion
from .per_pixel import PerPixelBaseline, PerPixelBaselinePlus, PerPixelCriterion
from .pixel_decoder import FPNPixelDecoder, TransformerEncoderPixelDecoder
from .predictor import MaskFormerPredictor
from .structures import NO_SEGMENT, FactoredOutput, PixelEmbedding, SegmentTargets
from .targets import (
    label_values,
    panoptic_ranges,
    segments_from_panoptic,
    segments_from_semantic,
)
from .transformer import TransformerDecoder

__all__ = [
    "NO_SEGMENT",
    "ClassLoss",
    "ClassificationCost",
    "DiceCost",
    "DiceLoss",
    "FPNPixelDecoder",
    "FactoredOutput",
    "FocalCost",
    "FocalLoss",
    "GeneralFusion",
    "HungarianAssigner",
    "InstanceFusion",
    "MaskFormerCriterion",
    "MaskFormerPredictor",
    "NonFiniteCostError",
    "PanopticFusion",
    "PerPixelBaseline",
    "PerPixelBaselinePlus",
    "PerPixelCriterion",
    "PerPixelFusion",
    "PixelEmbedding",
    "SegmentTargets",
    "SemanticFusion",
    "TransformerDecoder",
    "TransformerEncoderPixelDecoder",
    "chunked_mask_loss",
    "label_values",
    "panoptic_ranges",
    "segments_from_panoptic",
    "segments_from_semantic",
]
