"""Panoptic-DeepLab's targets and losses: classes, centres of things, and offsets to them.

The normalisers are those of detectron2's version or of deeplab2's, which differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.checks import check_flag, check_number, read_flags
from ..core.per_pixel import pixel_cross_entropy, upsample_logits
from ..core.structures import NO_SEGMENT, SegmentTargets
from ..core.targets import class_map


@dataclass(frozen=True)
class CenterTargets:
    """What the three outputs of one image should be.

    Attributes:
        classes: (H, W) int64, C where nothing is labelled.
        weight: (H, W) of the class loss, larger in small things.
        heat: (H, W), a Gaussian around each centre of a thing.
        offset: (2, H, W), y and x from a pixel of a thing to its centre, in pixels; 0 elsewhere.
        labelled: (H, W) bool, where the heat map is trained.
        thing: (H, W) bool, where the offsets are trained.
    """

    classes: Tensor
    weight: Tensor
    heat: Tensor
    offset: Tensor
    labelled: Tensor
    thing: Tensor


def center_targets(
    target: SegmentTargets,
    isthing: Sequence[bool],
    *,
    sigma: float = 8,
    small_area: int = 4096,
    small_weight: float = 3,
) -> CenterTargets:
    """The targets of one image, without a loop over its segments.

    A centre is the mean position of a thing's pixels; a thing without pixels has none.

    Args:
        target: the segments; pixels of crowds belong to none of them.
        isthing: for each of the C classes whether it is a thing.
        sigma: of the Gaussian, in pixels; it is cut to a square of 3 sigma + 1 around the rounded
            centre.
        small_area: things of fewer pixels have `small_weight`, all other pixels 1.
    """
    segments = target.segment_map.long() + 1  # 0 is no segment
    flags = torch.tensor(isthing, device=segments.device)
    things = torch.cat([flags.new_zeros(1), flags[target.labels]])  # of each segment
    count = len(things)
    flat = segments.flatten()
    area = torch.bincount(flat, minlength=count)
    positions = torch.stack(
        [axis.flatten() for axis in position_grid(segments.shape, segments.device)]
    )
    sums = torch.stack([exact_sums(flat, axis, count) for axis in positions])
    centers = sums.double() / area.clamp(min=1)
    thing = things[segments]
    offset = (centers[:, flat] - positions).float().unflatten(1, segments.shape)
    small = things & (area < small_area)
    ones = torch.ones(count, device=segments.device)
    return CenterTargets(
        classes=class_map(target, len(isthing)),
        weight=ones.masked_fill(small, small_weight)[segments],
        heat=heat_map(centers[:, things & (area > 0)], segments.shape, sigma),
        offset=offset.masked_fill(~thing, 0),
        labelled=target.segment_map != NO_SEGMENT,
        thing=thing,
    )


def position_grid(size: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
    """Row and column of each pixel, two (H, W) int64."""
    return torch.meshgrid(*(torch.arange(edge, device=device) for edge in size), indexing="ij")


def exact_sums(index: Tensor, values: Tensor, count: int) -> Tensor:
    """Sums (count,) of whole numbers by index; they are the same in any order."""
    return torch.zeros(count, dtype=torch.int64, device=index.device).index_add_(0, index, values)


def heat_map(centers: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """The largest of the Gaussians around rounded centres (2, K), (H, W) at `size`."""
    height, width = size
    reach = int(3 * sigma + 1)
    steps = torch.arange(-reach, reach + 1, device=centers.device)
    bell = torch.exp(-(steps[:, None] ** 2 + steps**2).double() / (2 * sigma**2)).float()
    rows, columns = centers.round().long()[..., None] + steps
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    pixels = (rows[:, :, None] * width + columns[:, None])[inside]
    heat = torch.zeros(height * width, device=centers.device)
    values = bell.expand(inside.shape)[inside]
    return heat.scatter_reduce_(0, pixels, values, "amax").view(height, width)


class PanopticDeepLabCriterion(nn.Module):
    """Cross entropy of the hardest pixels, squared error of the heat map, absolute error of the
    offsets.

    As in detectron2, pixels are those of the whole batch: the hardest share is taken of all,
    ignored ones with a loss of 0 among them, and the other two are divided by the number of
    their pixels. The errors of an offset's y and x are added.

    Args:
        isthing: for each of the C classes whether it is a thing.
        per_image: normalise as deeplab2 does: the hardest share is that of each image, every sum
            is divided by the number of its losses that are not 0, y and x of an offset count as
            two, and the images are averaged. Losses of offsets are then about half as large.
        hard_pixel_share: of all pixels, those whose cross entropy counts (Cityscapes 0.2, COCO 1).
        semantic_weight, center_weight, offset_weight: of the three losses in the sum.
        sigma, small_area, small_weight: see `center_targets`.
    """

    def __init__(
        self,
        isthing: Sequence[bool],
        *,
        per_image: bool = False,
        hard_pixel_share: float = 0.2,
        semantic_weight: float = 1.0,
        center_weight: float = 200.0,
        offset_weight: float = 0.01,
        sigma: float = 8,
        small_area: int = 4096,
        small_weight: float = 3,
    ) -> None:
        super().__init__()
        self.isthing = read_flags(isthing)
        self.per_image = check_flag("per_image", per_image)
        self.hard_pixel_share = check_number("hard_pixel_share", hard_pixel_share, 0, 1)
        self.semantic_weight = check_number("semantic_weight", semantic_weight)
        self.center_weight = check_number("center_weight", center_weight)
        self.offset_weight = check_number("offset_weight", offset_weight)
        self.shape = dict(
            sigma=check_number("sigma", sigma, 0.1),
            small_area=check_number("small_area", small_area, whole=True),
            small_weight=check_number("small_weight", small_weight),
        )

    def forward(
        self, logits: Tensor, centers: Tensor, targets: Sequence[SegmentTargets]
    ) -> dict[str, Tensor]:
        """Weighted `loss_semantic`, `loss_center` and `loss_offset`; 0 without pixels to train on.

        Args:
            logits: (B, C, h, w) class logits at stride 4.
            centers: (B, 3, h, w) heat, and y and x of the offset in pixels of the input.
            targets: the segments of each image, padded to one size.
        """
        made = [center_targets(target, self.isthing, **self.shape) for target in targets]
        found = CenterTargets(
            *(torch.stack([getattr(one, name) for one in made]) for name in vars(made[0]))
        )
        size = found.classes.shape[-2:]
        full = upsample_logits(centers.float(), size)
        heat_error = (full[:, 0] - found.heat) ** 2 * found.labelled
        offset_error = (full[:, 1:] - found.offset).abs() * found.thing[:, None]
        pixel_losses = pixel_cross_entropy(upsample_logits(logits.float(), size), found.classes)
        hard = hardest(pixel_losses * found.weight, self.hard_pixel_share, self.per_image)
        if self.per_image:
            semantic, heat, offset = map(mean_of_images, (hard, heat_error, offset_error))
        else:
            semantic = hard.mean()
            heat = mean_over(heat_error, found.labelled)
            offset = mean_over(offset_error, found.thing)
        return {
            "loss_semantic": self.semantic_weight * semantic,
            "loss_center": self.center_weight * heat,
            "loss_offset": self.offset_weight * offset,
        }


def hardest(losses: Tensor, share: float, per_image: bool = False) -> Tensor:
    """The largest `share` of the losses (B, H, W), at least one, of all or `per_image`:
    (1 or B, K)."""
    flat = losses.flatten(1) if per_image else losses.reshape(1, -1)
    count = share * flat.shape[1]
    count = max(1, round(count) if per_image else int(count))  # as either implementation does
    return flat if count == flat.shape[1] else flat.topk(count, sorted=False).values


def mean_over(errors: Tensor, where: Tensor) -> Tensor:
    """Sum of errors over the number of pixels that count."""
    return errors.sum() / where.sum().clamp(min=1)


def mean_of_nonzero(values: Tensor) -> Tensor:
    """0 if all are 0."""
    return values.sum() / (values != 0).sum().clamp(min=1)


def mean_of_images(errors: Tensor) -> Tensor:
    """The mean over images (B, ...) of `mean_of_nonzero`."""
    return torch.stack([mean_of_nonzero(one) for one in errors]).mean()
