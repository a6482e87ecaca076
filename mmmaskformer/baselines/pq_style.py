"""MaX-DeepLab's matching and losses: a slot is good in its mask times its class, as in PQ.

A pixel's mask probabilities are a softmax over the slots. All is counted on the mask grid, at
stride 4, where the ground truth is its every fourth pixel. As in deeplab2, a mean is over values
that are not zero, within an image, and images are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.checks import check_number, read_flags
from ..core.folded_masks import layer_mask_logits
from ..core.matcher import NonFiniteCostError
from ..core.per_pixel import check_grid
from ..core.structures import NO_SEGMENT, FactoredOutput, SegmentTargets, to_device
from .panoptic_deeplab import mean_of_nonzero

SMALL = 1e-5
POSITIVE_SHARE = 0.75
"""Weight of matched slots; the others have the rest."""


@dataclass(frozen=True)
class GridSegments:
    """Ground truth of one image on the mask grid.

    Attributes:
        masks: (G, P) float, 1 where a segment is.
        labels: (G,) int64.
        labelled: (P,) float, 0 where no segment is.
        name: of the image.
    """

    masks: Tensor
    labels: Tensor
    labelled: Tensor
    name: str


def grid_segments(
    target: SegmentTargets, grid: Sequence[int], isthing: Sequence[bool] | None = None
) -> GridSegments:
    """Every fourth pixel of the ground truth.

    Args:
        grid: h, w.
        isthing: for each class whether it is a thing. The segments of one stuff class become
            one; None: all stay as they are.
    """
    check_grid(grid, target.segment_map.shape)
    segments, labels = target.segment_map[::4, ::4].flatten().long(), target.labels
    if isthing is not None and len(labels):
        thing = to_device(torch.tensor(isthing), labels.device)[labels]
        first = (labels[:, None] == labels).int().argmax(1)
        owner = torch.where(thing, torch.arange(len(labels), device=labels.device), first)
        segments = F.pad(owner, (0, 1), value=NO_SEGMENT)[segments]
    numbers = torch.arange(len(labels), device=labels.device)
    masks = (segments == numbers[:, None]).float()
    return GridSegments(masks, labels, (segments != NO_SEGMENT).float(), target.name)


def similarity(segments: GridSegments, class_prob: Tensor, mask_prob: Tensor) -> Tensor:
    """Dice of mask and segment times the probability of the segment's class, (G, N).

    Args:
        class_prob: (N, C + 1).
        mask_prob: (N, P), 0 at pixels without a segment.
    """
    area = (segments.masks.sum(1)[:, None] + mask_prob.sum(1)) / 2
    dice = segments.masks @ mask_prob.T / (area + SMALL)
    return dice * class_prob[:, segments.labels].T


@torch.no_grad()
def match_slots(
    class_logits: Tensor, mask_logits: Tensor, targets: Sequence[GridSegments]
) -> list[tuple[Tensor, Tensor]]:
    """For each image the segments and slots that are matched, (M,) int64 each.

    The sum of the similarities is largest. Segments without a pixel on the grid, and those that
    are left over where there are more segments than slots, have no slot.

    Args:
        class_logits: (B, N, C + 1).
        mask_logits: (B, N, P).

    Raises:
        NonFiniteCostError: names the image.
    """
    parts, pairs = [], []
    for classes, masks, target in zip(class_logits, mask_logits, targets, strict=True):
        likeness = similarity(target, classes.softmax(1), masks.softmax(0) * target.labelled)
        parts.append(torch.cat([target.masks.sum(1, keepdim=True), likeness], 1))
    tables = torch.cat(parts).cpu().split([len(part) for part in parts])  # the only copy
    for table, target in zip(tables, targets, strict=True):
        if not table.isfinite().all():
            raise NonFiniteCostError(f"{target.name}: non-finite similarity of slots and segments")
        seen = torch.nonzero(table[:, 0]).flatten()
        rows, slots = linear_sum_assignment(table[seen, 1:].numpy(), maximize=True)
        pair = torch.stack([seen[rows], torch.from_numpy(slots)])
        pairs.append(tuple(to_device(pair, class_logits.device)))
    return pairs


class PQStyleCriterion(nn.Module):
    """The PQ-style loss and the mask-id loss, for every decoder layer of a mask classifier.

    Slots are queries. It trains MaskFormer's network with MaX-DeepLab's losses where
    `MaskFormerHead` has it as its `criterion`; then inference takes a softmax over the queries, too
    (`SlotFusion`, `SlotPanopticFusion`).

    Args:
        isthing: for each of the C classes whether it is a thing; None: segments of one class
            are never joined.
        pq_weight: of both terms of the PQ-style loss, for classes and for masks.
        mask_id_weight: of the cross entropy over the slots at each pixel.
    """

    queries_compete = True

    def __init__(
        self,
        isthing: Sequence[bool] | None = None,
        *,
        pq_weight: float = 3.0,
        mask_id_weight: float = 0.3,
    ) -> None:
        super().__init__()
        self.isthing = None if isthing is None else read_flags(isthing)
        self.pq_weight = check_number("pq_weight", pq_weight)
        self.mask_id_weight = check_number("mask_id_weight", mask_id_weight)

    def forward(
        self, output: FactoredOutput, targets: Sequence[SegmentTargets]
    ) -> dict[str, Tensor]:
        """Weighted `loss_cls`, `loss_mask` and `loss_mask_id` of the last layer, the same behind
        `d0.`, `d1.`, ... for the layers before it."""
        size = output.pixels.shape[-2:]
        grids = [grid_segments(target, size, self.isthing) for target in targets]
        losses = {}
        for layer in range(output.num_layers):
            prefix = "" if layer == output.num_layers - 1 else f"d{layer}."
            logits = output.class_logits[layer], layer_mask_logits(output, layer)
            values = self.layer_losses(*logits, grids)
            losses.update({prefix + name: value for name, value in values.items()})
        return losses

    def layer_losses(
        self, class_logits: Tensor, mask_logits: Tensor, targets: Sequence[GridSegments]
    ) -> dict[str, Tensor]:
        """Losses of class logits (B, N, C + 1) and mask logits (B, N, h, w)."""
        class_logits, mask_logits = class_logits.float(), mask_logits.float().flatten(2)
        with torch.autocast(class_logits.device.type, enabled=False):
            pairs = match_slots(class_logits, mask_logits, targets)
            images = zip(class_logits, mask_logits, targets, pairs, strict=True)
            values = torch.stack([self.image_losses(*image) for image in images]).mean(0)
        return dict(zip(("loss_cls", "loss_mask", "loss_mask_id"), values, strict=True))

    def image_losses(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        target: GridSegments,
        pairs: tuple[Tensor, Tensor],
    ) -> Tensor:
        """The three losses (3,) of an image: class logits (N, C + 1) and mask logits (N, P)."""
        segment, slot = pairs
        masks, labels = target.masks[segment], target.labels[segment]
        log_prob = mask_logits.log_softmax(0)
        prob = log_prob.exp()
        own = prob[slot] * target.labelled
        overlap, area = (own * masks).sum(1), own.sum(1) + masks.sum(1)

        classes = torch.full_like(slot.new_empty(len(prob)), class_logits.shape[1] - 1)
        classes[slot] = labels
        with torch.no_grad():
            # An unmatched slot matters as far as it lies where nothing is labelled.
            void = (prob * (1 - target.labelled)).sum(1) / (prob.sum(1) + SMALL)
            weight = (1 - POSITIVE_SHARE) * void.clamp(min=SMALL)
            quality = overlap / (area / 2 + SMALL)
            weight[slot] = POSITIVE_SHARE * quality.clamp(min=SMALL)
            certain = class_logits.softmax(1)[slot, labels].clamp(min=SMALL)
        entropy = F.cross_entropy(class_logits, classes, reduction="none")
        loss_cls = mean_of_nonzero(weight * entropy)
        missed = 1 - (2 * overlap + 1) / (area + 1)
        loss_mask = POSITIVE_SHARE * (certain * missed).sum() / len(prob)
        loss_mask_id = mean_of_nonzero(-(log_prob[slot] * masks).sum(0))
        terms = self.pq_weight * loss_cls, self.pq_weight * loss_mask
        return torch.stack([*terms, self.mask_id_weight * loss_mask_id])


class MaXDeepLabCriterion(nn.Module):
    """The PQ-style losses, and instance discrimination: at each pixel of a thing, cross entropy
    over the segments of how like its embedding is to their mean embeddings.

    Args:
        isthing: for each of the C classes whether it is a thing.
        instance_weight: of the instance discrimination.
        temperature: by which the likeness is divided.
        pq_style: arguments of `PQStyleCriterion`.
    """

    queries_compete = True

    def __init__(
        self,
        isthing: Sequence[bool],
        *,
        instance_weight: float = 1.0,
        temperature: float = 0.3,
        **pq_style: float,
    ) -> None:
        super().__init__()
        self.isthing = read_flags(isthing)
        self.pq_style = PQStyleCriterion(isthing, **pq_style)
        self.instance_weight = check_number("instance_weight", instance_weight)
        self.temperature = check_number("temperature", temperature, SMALL)

    def forward(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        embedding: Tensor,
        targets: Sequence[SegmentTargets],
    ) -> dict[str, Tensor]:
        """Weighted losses of class logits (B, N, C + 1), mask logits (B, N, h, w) and pixels'
        embedding (B, D, h, w): those of `PQStyleCriterion` and `loss_instance`."""
        size = mask_logits.shape[-2:]
        grids = [grid_segments(target, size, self.isthing) for target in targets]
        losses = self.pq_style.layer_losses(class_logits, mask_logits, grids)
        pixels = embedding.float().flatten(2)
        with torch.autocast(pixels.device.type, enabled=False):
            instances = [self.instance_loss(*one) for one in zip(pixels, grids, strict=True)]
        losses["loss_instance"] = self.instance_weight * torch.stack(instances).mean()
        return losses

    def instance_loss(self, pixels: Tensor, target: GridSegments) -> Tensor:
        """Instance discrimination of an image's embeddings (D, P)."""
        masks, area = target.masks, target.masks.sum(1, keepdim=True)
        mean = F.normalize(masks @ pixels.T / area.clamp(min=1), dim=1)
        likeness = (mean @ pixels / self.temperature).masked_fill(area == 0, -1e5)
        thing = to_device(torch.tensor(self.isthing), masks.device)[target.labels]
        of_things = masks * thing[:, None]
        return mean_of_nonzero(-(likeness.log_softmax(0) * of_things).sum(0))
