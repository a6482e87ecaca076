"""Which functions of the three implementations of MaskFormer are which stage of a step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from mmmaskformer.core import criterion as criterion_module
from mmmaskformer.core import folded_masks
from mmmaskformer.engine.runner import without_score_maps
from mmmaskformer.heads.segments import SegmentMaker

from . import models, transformers_model
from .batches import make_batch
from .stages import Probe, Step

STOCK = "mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py"

PREPROCESSING = "preprocessing"
BACKBONE = "backbone"
PIXEL_DECODER = "pixel decoder"
DECODER = "transformer decoder, MLPs"
MASK_LOGITS = "mask logits"
TARGETS = "targets"
COST = "matching: costs"
COPY = "matching: copy"
ASSIGNMENT = "matching: assignment on host"
MASK_LOSSES = "mask losses"
CLASS_LOSS = "class loss"
BACK_LOSSES = "backward: losses, mask logits"
BACK_DECODER = "backward: transformer decoder"
BACK_PIXEL_DECODER = "backward: pixel decoder"
BACK_BACKBONE = "backward: backbone"
CLIPPING = "gradient clipping"
OPTIMIZER = "optimizer"
FUSION = "fusion to labels"

STAGES = {
    "training": (
        BACKBONE, PIXEL_DECODER, DECODER, MASK_LOGITS, TARGETS, COST, COPY, ASSIGNMENT,
        MASK_LOSSES, CLASS_LOSS, BACK_LOSSES, BACK_DECODER, BACK_PIXEL_DECODER, BACK_BACKBONE,
        CLIPPING, OPTIMIZER,
    ),
    "inference": (PREPROCESSING, BACKBONE, PIXEL_DECODER, DECODER, MASK_LOGITS, FUSION),
}  # fmt: skip
"""What a step consists of, in the order of the tables; the rest comes last."""
LOSS_STAGES = (
    MASK_LOGITS, TARGETS, COST, COPY, ASSIGNMENT, MASK_LOSSES, CLASS_LOSS, BACK_LOSSES,
)  # fmt: skip
"""Matching and losses with all that is done for them alone, backward included."""


def probes_of_ours(model: nn.Module) -> list[Probe]:
    """The decoder's last convolution is part of the mask logits where it is folded into them
    (see `folded_masks`), and of the pixel decoder where it is not."""
    head = model.decode_head
    predictor, criterion = head.predictor, head.criterion
    return [
        Probe(predictor.pixel_decoder, "forward", PIXEL_DECODER, BACK_PIXEL_DECODER),
        *(
            Probe(module, name, *stages)
            for module in (folded_masks, criterion_module)
            for name, stages in (
                ("pixel_embedding", (PIXEL_DECODER, BACK_PIXEL_DECODER)),
                ("mask_logits", (MASK_LOGITS,)),
            )
        ),
        Probe(predictor, "forward", DECODER, BACK_DECODER),
        Probe(SegmentMaker, "read", TARGETS),
        Probe(criterion, "assigner", COST),
        # The costs of all layers and images are copied at once; what follows is host work.
        Probe(torch.Tensor, "cpu", COPY, then=ASSIGNMENT, within=COST),
        Probe(criterion, "mask_losses", MASK_LOSSES),
        Probe(criterion, "class_losses", CLASS_LOSS),
        Probe(head, "views", FUSION),
        Probe(head.fusion, "labels", FUSION),
    ]


def probes_of_mmseg(model: nn.Module) -> list[Probe]:
    """In its head's forward, what follows the mask embeddings is their product with the pixel
    embedding, and backward reaches them before the rest of the decoder. In a layer's targets,
    what precedes the assigner reduces the masks to the grid of its costs."""
    head = model.decode_head
    return [
        Probe(head.pixel_decoder, "forward", PIXEL_DECODER, BACK_PIXEL_DECODER),
        Probe(head, "forward", DECODER),
        Probe(head.mask_embed, "forward", DECODER, BACK_DECODER, then=MASK_LOGITS),
        Probe(head, "_seg_data_to_instance_data", TARGETS),
        Probe(head, "_get_targets_single", COST),
        Probe(head.assigner, "assign", COST, then=TARGETS),
        Probe(torch.Tensor, "cpu", COPY, then=ASSIGNMENT, within=COST),
        Probe(head, "_loss_by_feat_single", MASK_LOSSES),
        Probe(head.loss_cls, "forward", CLASS_LOSS),
        Probe(head, "predict", FUSION),
        Probe(model, "postprocess_result", FUSION),
    ]


def probes_of_transformers(model: nn.Module) -> list[Probe]:
    """As mmseg's; its classes and mask embeddings are made in `get_logits`."""
    network = model.network
    pixel_level = network.model.pixel_level_module
    return [
        Probe(pixel_level.decoder, "forward", PIXEL_DECODER, BACK_PIXEL_DECODER),
        Probe(network.model.transformer_module, "forward", DECODER),
        Probe(network, "get_logits", DECODER),
        Probe(network.mask_embedder, "forward", DECODER, BACK_DECODER, then=MASK_LOGITS),
        Probe(model, "targets", TARGETS),
        Probe(network.matcher, "forward", COST),
        Probe(torch.Tensor, "cpu", COPY, within=COST),
        Probe(sys.modules[type(network).__module__], "linear_sum_assignment", ASSIGNMENT),
        Probe(network.criterion, "loss_masks", MASK_LOSSES),
        Probe(network.criterion, "loss_labels", CLASS_LOSS),
        Probe(model, "labels", FUSION),
    ]


PROBES = {
    "ours": probes_of_ours,
    "mmseg": probes_of_mmseg,
    "transformers": probes_of_transformers,
}


def probes_of(name: str, model: nn.Module, optimizer: OptimWrapper | None = None) -> list[Probe]:
    """All probes of an implementation's training step, or without an optimizer of inference."""
    probes = [
        Probe(model.data_preprocessor, "forward", PREPROCESSING),
        Probe(model.backbone, "forward", BACKBONE, BACK_BACKBONE),
        *PROBES[name](model),
    ]
    if optimizer is not None:
        probes += [
            Probe(optimizer, "backward", BACK_LOSSES),
            Probe(optimizer, "step", OPTIMIZER),
            Probe(optimizer, "zero_grad", OPTIMIZER),
            Probe(optimizer, "_clip_grad", CLIPPING),
        ]
    return probes


@dataclass(frozen=True)
class Settings:
    """What all implementations share.

    Attributes:
        depth: of the ResNet.
        size: H, W of training images; test_size: of the image of inference.
        label_size: H, W of inference's labels.
        batch: training images.
        segments: classes in each generated label map.
        amp: fp16, bf16 or None.
    """

    config: str
    depth: int
    size: tuple[int, int]
    test_size: tuple[int, int]
    label_size: tuple[int, int]
    batch: int
    segments: int
    device: str
    amp: str | None = None


def load(name: str, settings: Settings) -> Config:
    """Our config, or mmseg's with our backbone and optimizer; with a ResNet of the depth.

    transformers' model has the sizes and the optimizer of our config.
    """
    channels = transformers_model.RESNETS[settings.depth]["hidden_sizes"]
    options = {
        "model.backbone.depth": settings.depth,
        "model.decode_head.in_channels": list(channels),
    }
    ours = models.load_config(settings.config, options)
    if name != "mmseg":
        without_score_maps(ours)
        return ours
    stock = models.load_config(STOCK, options)
    stock.model.backbone, stock.optim_wrapper = ours.model.backbone, ours.optim_wrapper
    return stock


def build(name: str, cfg: Config, settings: Settings) -> nn.Module:
    if name != "transformers":
        return models.build(cfg, settings.device)
    head = cfg.model.decode_head
    return transformers_model.build(
        settings.depth, head.num_classes, head.num_queries, settings.device
    )


def training(name: str, settings: Settings) -> Step:
    """The training step of an implementation, of normalised images on the device."""
    cfg = load(name, settings)
    model = build(name, cfg, settings).train()
    optimizer = models.build_optimizer(model, cfg, settings.amp, settings.device)
    classes = models.smallest_num_classes(cfg)
    batch = make_batch(settings.size, settings.batch, settings.segments, classes, settings.device)
    run = models.training_step(model, optimizer, *batch, settings.amp)
    return Step(run, probes_of(name, model, optimizer))


def inference(name: str, settings: Settings) -> Step:
    """Inference of one 8-bit image that lies on the host, to labels on the device."""
    cfg = load(name, settings)
    model = build(name, cfg, settings).eval()
    classes = models.smallest_num_classes(cfg)
    _, samples = make_batch(settings.test_size, 1, settings.segments, classes, "cpu")
    samples[0].set_metainfo({"ori_shape": settings.label_size})
    image = torch.randint(256, (3, *settings.test_size), dtype=torch.uint8)

    @torch.no_grad()
    def run() -> Sequence:
        data = {"inputs": [image], "data_samples": [samples[0].clone()]}
        with models.precision(settings.amp, settings.device):
            return model.test_step(data)

    return Step(run, probes_of(name, model))


STEPS = {"training": training, "inference": inference}
