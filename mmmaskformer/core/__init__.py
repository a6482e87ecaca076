"""MaskFormer without a framework: torch and scipy only.

`build_maskformer` is the front door; `structures` explains the letters of the shapes.
"""

from .criterion import MaskFormerCriterion
from .fixed_matcher import FixedAssigner
from .folded_masks import layer_mask_logits, pixel_embedding
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
from .model import MaskFormer, build_maskformer
from .panoptic_fusion import InstanceFusion, PanopticFusion
from .per_pixel import PerPixelBaseline, PerPixelBaselinePlus, PerPixelCriterion
from .pixel_decoder import FPNPixelDecoder, TransformerEncoderPixelDecoder
from .predictor import MaskFormerPredictor
from .structures import NO_SEGMENT, FactoredOutput, PixelFeatures, SegmentTargets
from .targets import class_map, segments_from_panoptic, segments_from_semantic
from .transformer import TransformerDecoder
from .views import NonFiniteScoreError, View, views_of

__all__ = [
    "NO_SEGMENT",
    "ClassLoss",
    "ClassificationCost",
    "DiceCost",
    "DiceLoss",
    "FPNPixelDecoder",
    "FactoredOutput",
    "FixedAssigner",
    "FocalCost",
    "FocalLoss",
    "GeneralFusion",
    "HungarianAssigner",
    "InstanceFusion",
    "MaskFormer",
    "MaskFormerCriterion",
    "MaskFormerPredictor",
    "NonFiniteCostError",
    "NonFiniteScoreError",
    "PanopticFusion",
    "PerPixelBaseline",
    "PerPixelBaselinePlus",
    "PerPixelCriterion",
    "PerPixelFusion",
    "PixelFeatures",
    "SegmentTargets",
    "SemanticFusion",
    "TransformerDecoder",
    "TransformerEncoderPixelDecoder",
    "View",
    "build_maskformer",
    "chunked_mask_loss",
    "class_map",
    "layer_mask_logits",
    "pixel_embedding",
    "segments_from_panoptic",
    "segments_from_semantic",
    "views_of",
]
