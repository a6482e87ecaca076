"""Match, weigh, repeat for every decoder layer (paper, Section 3.3, eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed, nn

from .checks import check_number, check_part
from .folded_masks import mask_logits, pixel_embedding
from .kernels import check_kernel
from .losses import ClassLoss, DiceLoss, FocalLoss
from .mask_loss import chunked_mask_loss
from .matcher import Assigner, HungarianAssigner, Matches
from .structures import FactoredOutput, PixelFeatures, SegmentTargets, to_device


class MaskFormerCriterion(nn.Module):
    """Weighted losses of a batch, every decoder layer matched on its own.

    Mask losses are summed over the matched masks and divided by the mean number of ground-truth
    segments per process, at least 1, the same for all layers.

    Args:
        loss_cls: maps logits (M, C + 1) and classes (M,) to a scalar.
        loss_mask, loss_dice: map logits and targets (N, P) to (N,) values. None of the three
            multiplies by its attribute `loss_weight`: that is done here.
        mask_loss_kernel: "auto", "eager" or "triton", see `chunked_mask_loss`.
        num_classes: C, with which a `loss_cls` of another package is tried.
    """

    queries_compete = False  # as in `BandedFusion`

    def __init__(
        self,
        assigner: Assigner | None = None,
        *,
        loss_cls: nn.Module | None = None,
        loss_mask: nn.Module | None = None,
        loss_dice: nn.Module | None = None,
        mask_loss_kernel: str = "auto",
        num_classes: int = 2,
    ) -> None:
        super().__init__()
        self.assigner = assigner or HungarianAssigner()
        queries = torch.eye(2, num_classes + 1), torch.tensor([0, num_classes])
        masks = torch.eye(2, 3)
        self.loss_cls = checked_loss("loss_cls", loss_cls or ClassLoss(), queries, ())
        self.loss_mask = checked_loss("loss_mask", loss_mask or FocalLoss(), (masks, masks), (2,))
        self.loss_dice = checked_loss("loss_dice", loss_dice or DiceLoss(), (masks, masks), (2,))
        self.mask_loss_kernel = check_kernel(mask_loss_kernel)

    def forward(
        self,
        output: FactoredOutput,
        targets: Sequence[SegmentTargets],
        mean_segments: Callable[[], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Losses under mmdet's names: `loss_cls`, `loss_mask`, `loss_dice` for the last layer,
        the same behind `d0.`, `d1.`, ... for the layers before it.

        Args:
            mean_segments: what `start_mean_segments` gave, where it was called before the network.
        """
        mean_segments = mean_segments or start_mean_segments(targets, output.device)
        dense = pixel_embedding(output.pixels)  # in the precision of the network
        with torch.autocast(output.device.type, enabled=False):
            matches = self.assigner(replace(output, pixels=PixelFeatures(dense)), targets)
            logits = matched_logits(output, matches, dense)
            del dense  # before the mask losses, where a step needs the most memory
            per_layer = {"loss_cls": self.class_losses(output, targets, matches)}
            per_layer.update(
                self.mask_losses(logits, targets, matches, output.num_layers, mean_segments)
            )
        losses = {}
        for layer in range(output.num_layers):
            prefix = "" if layer == output.num_layers - 1 else f"d{layer}."
            losses.update({prefix + name: values[layer] for name, values in per_layer.items()})
        return losses

    def class_losses(
        self, output: FactoredOutput, targets: Sequence[SegmentTargets], matches: Matches
    ) -> Tensor:
        """(L,) weighted class losses; unmatched queries should say "no object"."""
        target = torch.full(
            output.class_logits.shape[:3],
            output.num_classes,
            dtype=torch.int64,
            device=output.class_logits.device,
        )
        labels = torch.cat([t.labels for t in targets])
        counts = torch.tensor([0] + [t.num_segments for t in targets[:-1]]).cumsum(0)
        first = to_device(counts, labels.device)[matches.image]
        target[matches.layer, matches.image, matches.query] = labels[first + matches.segment]
        logits, classes = output.class_logits.flatten(1, 2).float(), target.flatten(1)
        if type(self.loss_cls) is ClassLoss:  # takes all layers at once
            losses = self.loss_cls(logits, classes)
        else:
            losses = torch.stack(list(map(self.loss_cls, logits, classes)))
        return self.loss_cls.loss_weight * losses

    def mask_losses(
        self,
        logits: Tensor,
        targets: Sequence[SegmentTargets],
        matches: Matches,
        num_layers: int,
        mean_segments: Callable[[], Tensor],
    ) -> dict[str, Tensor]:
        """`loss_mask` and `loss_dice`, each (L,) and weighted; `logits` are `matched_logits`."""
        values = chunked_mask_loss(
            logits,
            torch.stack([t.segment_map for t in targets]),
            matches.image,
            matches.segment,
            (self.loss_mask, self.loss_dice),
            kernel=self.mask_loss_kernel,
        )
        sums = values.new_zeros((2, num_layers)).index_add(1, matches.layer, values)
        sums = sums / mean_segments().clamp(min=1)
        return {
            "loss_mask": self.loss_mask.loss_weight * sums[0],
            "loss_dice": self.loss_dice.loss_weight * sums[1],
        }


def matched_logits(output: FactoredOutput, matches: Matches, dense: Tensor) -> Tensor:
    """Mask logits (N, h, w) of the matched pairs; `dense` is the pixel embedding."""
    embed = output.mask_embed[matches.layer, matches.image, matches.query].float()
    return torch.cat(mask_logits(output.pixels, embed.split(matches.per_image), dense))


def checked_loss(name: str, loss: Any, example: Sequence[Tensor], wanted: Sequence[int]) -> Any:
    """The loss; errors as those of `check_part` for one that is not of this package."""
    if not isinstance(loss, ClassLoss | FocalLoss | DiceLoss):
        check_number(
            f"{name}: loss_weight of {type(loss).__name__}", getattr(loss, "loss_weight", None)
        )
        check_part(name, loss, example, wanted, weighs=False)
    return loss


def start_mean_segments(
    targets: Sequence[SegmentTargets], device: torch.device
) -> Callable[[], Tensor]:
    """Begin to compute the mean number of segments per process of the default group.

    The processes exchange their numbers while the network runs: one that is late holds the others
    up where the number is needed, if at all.

    Returns:
        what waits for the exchange and gives the mean, a scalar tensor on the device.
    """
    count = float(sum(target.num_segments for target in targets))
    total = torch.full((), count, device=device)  # a tensor from a number would wait
    if not (distributed.is_available() and distributed.is_initialized()):
        return lambda: total
    exchange = distributed.all_reduce(total, async_op=True)

    def mean() -> Tensor:
        exchange.wait()
        return total / distributed.get_world_size()

    return mean
