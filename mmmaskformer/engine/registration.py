"""Every model part that a config may name, registered: importing this module is enough."""

from .. import core
from ..backbones import efficientnet_lite, frozen_norm  # noqa: F401
from ..baselines import (
    center_fusion,
    hmsanet_head,  # noqa: F401
    max_backbone,  # noqa: F401
    max_deeplab_head,  # noqa: F401
    max_network,
    panoptic_deeplab,
    panoptic_deeplab_head,  # noqa: F401
    panoptic_deeplab_network,
    pq_style,
    rmi,  # noqa: F401
    scale_attention,  # noqa: F401
    slot_fusion,
)
from ..det import detector  # noqa: F401
from ..heads import maskformer_head, per_pixel_head  # noqa: F401
from ..registry import MODELS, TASK_UTILS
from ..seg import data_preprocessor, segmentor, tta  # noqa: F401

for _part in (
    core.FPNPixelDecoder,
    core.TransformerEncoderPixelDecoder,
    core.TransformerDecoder,
    core.ClassLoss,
    core.FocalLoss,
    core.DiceLoss,
    core.PerPixelCriterion,
    panoptic_deeplab_network.PanopticDeepLab,
    panoptic_deeplab.PanopticDeepLabCriterion,
    max_network.MaXDeepLab,
    max_network.MaXDeepLabSemantic,
    pq_style.PQStyleCriterion,
    pq_style.MaXDeepLabCriterion,
):
    MODELS.register_module(module=_part)

for _part in (
    core.HungarianAssigner,
    core.FixedAssigner,
    core.ClassificationCost,
    core.FocalCost,
    core.DiceCost,
    core.SemanticFusion,
    core.GeneralFusion,
    core.PanopticFusion,
    core.InstanceFusion,
    core.PerPixelFusion,
    center_fusion.PixelProbabilityFusion,
    center_fusion.PanopticDeepLabFusion,
    slot_fusion.SlotFusion,
    slot_fusion.SlotPanopticFusion,
):
    TASK_UTILS.register_module(module=_part)
