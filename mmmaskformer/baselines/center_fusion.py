"""Panoptic inference of Panoptic-DeepLab: pixels of things vote for the centre they point at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.checks import check_number, read_flags
from ..core.fusion import PerPixelFusion
from ..core.panoptic_fusion import PanopticResult
from ..core.tuning import BAND_ELEMENTS
from ..core.views import PixelView, check_finite, output_maps
from .panoptic_deeplab import position_grid


@dataclass(frozen=True)
class CenterView(PixelView):
    """One network input of an image: class logits, heat map and offsets.

    Attributes:
        centers: (3, h, w) heat, and y and x of the offset in pixels of the network's input.
    """

    centers: Tensor | None = None


class PixelProbabilityFusion(PerPixelFusion):
    """Inference of per-pixel class logits, whose views are averaged as probabilities."""

    def view_bands(
        self, view: PixelView, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """See `BandedFusion.view_bands`."""
        for logits in super().view_bands(view, size, bands, elements):
            yield logits.softmax(0)


class PanopticDeepLabFusion:
    """Panoptic inference: a pixel of a thing class goes to the centre that is nearest to where
    its offset points; an instance has the most frequent class of its pixels. Stuff classes
    without enough pixels are void, and so are pixels of things where there is no centre.

    Segments are numbered from 1, things first, in the order of their centres from top to bottom.
    The score of a thing is the heat at its centre, and that of stuff is 1.

    Args:
        isthing: for each of the C classes whether it is a thing.
        center_threshold: a centre has more heat.
        kernel: odd size of the square in which a centre has the most heat (detectron2:
            Cityscapes 7, COCO 41).
        most_centers: centres have more heat than the pixel of this rank among the largest of
            their squares.
        stuff_area: least pixels of a stuff class (Cityscapes 2048, COCO 4096).
    """

    queries_compete = False
    view_type = PixelView

    def __init__(
        self,
        isthing: Sequence[bool],
        *,
        center_threshold: float = 0.1,
        kernel: int = 7,
        most_centers: int = 200,
        stuff_area: int = 2048,
    ) -> None:
        self.isthing = read_flags(isthing)
        self.center_threshold = check_number("center_threshold", center_threshold)
        self.kernel = check_number("kernel", kernel, 1, whole=True)
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {kernel}")
        self.most_centers = check_number("most_centers", most_centers, 1, whole=True)
        self.stuff_area = check_number("stuff_area", stuff_area, whole=True)
        self.semantic = PixelProbabilityFusion()

    def __call__(self, views: Sequence[CenterView], size: Sequence[int]) -> PanopticResult:
        """The segments of an image at `size` = (H, W), seen in one or several views."""
        if len(self.isthing) != len(views[0].class_logits):
            raise ValueError(
                f"the model has {len(views[0].class_logits)} classes, but isthing is given for "
                f"{len(self.isthing)}"
            )
        classes = self.semantic.labels(views, size)
        maps = torch.stack([center_maps(view, size) for view in views]).mean(0)
        centers = self.find_centers(maps[0])
        return self.segments(classes, maps, centers)

    def find_centers(self, heat: Tensor) -> Tensor:
        """Row and column (K, 2) int64 of the peaks of a heat map (H, W), from top to bottom."""
        heat = heat.masked_fill(heat <= self.center_threshold, -1)
        highest = F.max_pool2d(heat[None], self.kernel, stride=1, padding=self.kernel // 2)[0]
        heat = heat.masked_fill(heat != highest, -1).clamp(min=0)
        ranked = heat.flatten().topk(min(self.most_centers, heat.numel())).values
        least = ranked[-1] if len(ranked) == self.most_centers else 0
        return torch.nonzero(heat > least)

    def segments(self, classes: Tensor, maps: Tensor, centers: Tensor) -> PanopticResult:
        """The segments of a class map (H, W), heat and offsets (3, H, W) and centres (K, 2)."""
        count, number = len(centers), len(self.isthing)
        flags = torch.tensor(self.isthing, device=classes.device)
        thing = flags[classes]
        # Owners 0 .. K - 1 are centres, K .. K + C - 1 stuff classes, K + C is void.
        owner = classes + count
        owner[thing] = count + number
        if count:
            owner[thing] = nearest_centers(maps[1:], thing, centers)
        # One table of votes: how many pixels of which class an owner has.
        votes = torch.bincount(
            owner.flatten() * number + classes.flatten(), minlength=(count + number + 1) * number
        ).view(-1, number)
        heat = maps[0, centers[:, 0], centers[:, 1]]
        table = zip(votes.sum(1).tolist(), first_largest(votes).tolist(), strict=True)
        numbers, found = self.number(list(table)[:-1], heat.tolist())
        lookup = torch.tensor([*numbers, 0], dtype=torch.int32).to(owner.device)
        return PanopticResult(lookup[owner], found)

    def number(
        self, table: Sequence[tuple[int, int]], heat: Sequence[float]
    ) -> tuple[list[int], list[dict]]:
        """The segment number of every owner, 0 for void, and the segments.

        Args:
            table: pixels and most frequent class of each centre, then of each stuff class.
            heat: of the centres.
        """
        numbers: list[int] = []
        found: list[dict] = []
        for owner, (area, label) in enumerate(table):
            is_center = owner < len(heat)
            if area < (1 if is_center else max(1, self.stuff_area)):
                numbers.append(0)
                continue
            score = heat[owner] if is_center else 1.0
            segment = dict(id=len(found) + 1, category_id=label, isthing=is_center)
            found.append({**segment, "score": score, "area": area})
            numbers.append(len(found))
        return numbers, found


def center_maps(view: CenterView, size: Sequence[int]) -> Tensor:
    """Heat, and y and x of the offset in pixels of the result, (3, H, W) at `size`."""
    assert view.centers is not None
    of_centers = replace(view, class_logits=view.centers)
    check_finite([of_centers])
    maps = output_maps(of_centers, size, slice(0, size[0]))
    scales = [out / content for out, content in zip(size, view.content_size, strict=True)]
    factors = maps.new_tensor([1, scales[0], -scales[1] if view.flip else scales[1]])
    return maps * factors[:, None, None]


def nearest_centers(offset: Tensor, where: Tensor, centers: Tensor) -> Tensor:
    """For each pixel of `where` (H, W) the centre nearest to where its offset points, the first
    of equals; (N,) int64.

    Args:
        offset: (2, H, W) y and x, in pixels.
        centers: (K, 2) rows and columns.
    """
    positions = torch.stack(position_grid(where.shape, where.device))
    pointed = (positions[:, where] + offset[:, where]).T
    nearest = torch.empty(len(pointed), dtype=torch.int64, device=where.device)
    # The distances of some pixels at a time.
    step = max(1, BAND_ELEMENTS[where.device.type] // len(centers))
    for start in range(0, len(pointed), step):
        part = slice(start, start + step)
        rows, columns = (pointed[part, None] - centers).unbind(-1)
        nearest[part] = (rows**2 + columns**2).argmin(1)
    return nearest


def first_largest(votes: Tensor) -> Tensor:
    """The first class with the most votes, (N,) int64 of (N, C)."""
    order = torch.arange(votes.shape[1], 0, -1, device=votes.device)
    return (votes * (votes.shape[1] + 1) + order).argmax(1)
