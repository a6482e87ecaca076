"""Inference of mask classifiers whose masks compete: a softmax over the slots at each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.checks import check_number, read_flags
from ..core.fusion import BandedFusion, row_bands
from ..core.panoptic_fusion import PanopticResult, check_flags
from ..core.structures import to_device
from ..core.views import View, all_finite, output_maps, refuse_unless


class GridView(View):
    """A view whose cells lie at every fourth pixel, from the first on, as after convolutions with
    stride and padding of half their size; on inputs of 4 n + 1 pixels this is a resize that keeps
    the corners. Cells of other views are centred on squares of pixels."""

    def rows(self, size: Sequence[int], rows: slice) -> Tensor:
        """Mask logits (Q, len(rows), W): resized to the input, cut, resized to `size`."""
        grid, content = self.mask_logits.shape[1:], self.content_size
        down = axis_weights(grid[0], content[0], size[0], False).to(self.mask_logits)
        across = axis_weights(grid[1], content[1], size[1], self.flip).to(self.mask_logits)
        with torch.autocast(down.device.type, enabled=False):
            return down[rows] @ self.mask_logits @ across.T


def axis_weights(cells: int, content: int, out: int, flip: bool) -> Tensor:
    """What each pixel of the result takes of each cell of an axis, (out, cells)."""
    eye = torch.eye(cells)[None]
    kept = F.interpolate(eye, size=4 * cells - 3, mode="linear", align_corners=True)
    pixels = F.pad(kept, (0, 3), mode="replicate")[..., :content]
    return F.interpolate(pixels.flip(-1) if flip else pixels, size=out, mode="linear")[0].T


def slot_logits(view: View, size: Sequence[int], rows: slice) -> Tensor:
    """Mask logits (Q, len(rows), W) at the output's `size`, as the kind of view has it."""
    return view.rows(size, rows) if isinstance(view, GridView) else output_maps(view, size, rows)


class SlotFusion(BandedFusion):
    """Semantic inference: per pixel, class probability times mask probability, summed over the
    slots, as MaskFormer's, but for the softmax."""

    queries_compete = True

    def view_bands(
        self, view: View, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """See `BandedFusion.view_bands`."""
        for rows in bands:
            logits = slot_logits(view, size, rows)
            with torch.autocast(logits.device.type, enabled=False):
                pixels = logits.softmax(0).permute(1, 2, 0)
                scores = (pixels @ view.class_prob[:, :-1]).permute(2, 0, 1)
            yield scores


class SlotPanopticFusion:
    """Pixel-wise panoptic inference of MaX-DeepLab: a pixel goes to its best slot, if that is sure
    of its class, and if the pixel is sure of it among the sure ones. Slots of one stuff class are
    one segment, and segments that are too small are void.

    Args:
        isthing: for each of the C classes whether it is a thing.
        object_threshold: least probability of the best class, "no object" left out.
        pixel_threshold: mask probabilities above this count.
        thing_area, stuff_area: least pixels of a segment (at 641 pixels 100 and 1600).
    """

    queries_compete = True

    def __init__(
        self,
        isthing: Sequence[bool],
        *,
        object_threshold: float = 0.7,
        pixel_threshold: float = 0.4,
        thing_area: int = 256,
        stuff_area: int = 4096,
    ) -> None:
        self.isthing = read_flags(isthing)
        self.object_threshold = check_number("object_threshold", object_threshold, 0, 1)
        self.pixel_threshold = check_number("pixel_threshold", pixel_threshold, 0, 1)
        self.thing_area = check_number("thing_area", thing_area, whole=True)
        self.stuff_area = check_number("stuff_area", stuff_area, whole=True)

    def __call__(self, view: View, size: Sequence[int]) -> PanopticResult:
        """The segments of an image at `size` = (H, W)."""
        check_flags(self.isthing, view)
        scores, labels = view.class_prob[:, :-1].max(1)
        owner = self.owners(view, scores >= self.object_threshold, size)
        pixels = owner.flatten()
        area = pixels.new_zeros(len(scores) + 1)
        area.scatter_add_(0, pixels, pixels.new_ones(()).expand_as(pixels))
        # All numbers in one copy to the host; float64 has them exactly.
        columns = [part.double() for part in (area[:-1], labels, scores)]
        finite = all_finite([view]).double().expand_as(columns[0])
        *table, known = torch.stack([*columns, finite]).tolist()
        refuse_unless(all(known))
        numbers, segments = self.number(list(zip(*table, strict=True)))
        lookup = to_device(torch.tensor([*numbers, 0], dtype=torch.int32), owner.device)
        return PanopticResult(lookup[owner], segments)

    def owners(self, view: View, sure: Tensor, size: Sequence[int]) -> Tensor:
        """The slot of each pixel, (H, W) int64; Q where it has none."""
        none = len(sure)
        owner = torch.full(tuple(size), none, device=sure.device)
        for rows in row_bands([view], size):
            logits = slot_logits(view, size, rows)
            best = logits.max(0).values
            among = logits.masked_fill(~sure[:, None, None], -torch.inf)
            top, slot = among.max(0)
            prob = (top - among.logsumexp(0)).exp()
            owner[rows] = slot.masked_fill((top < best) | ~(prob > self.pixel_threshold), none)
        return owner

    def number(self, table: Sequence[Sequence[float]]) -> tuple[list[int], list[dict]]:
        """The segment number of every slot, 0 for void, and the segments, of each slot's area,
        class and score."""
        groups: dict[tuple, list[int]] = {}
        for slot, (area, label, _) in enumerate(table):
            if area:
                thing = self.isthing[int(label)]
                groups.setdefault((int(label), slot if thing else None), []).append(slot)
        numbers = [0] * len(table)
        segments: list[dict] = []
        for (label, slot), slots in groups.items():
            area = int(sum(table[one][0] for one in slots))
            if area < (self.stuff_area if slot is None else self.thing_area):
                continue
            score = max(table[one][2] for one in slots)
            segment = dict(id=len(segments) + 1, category_id=label, isthing=slot is not None)
            segments.append({**segment, "score": score, "area": area})
            for one in slots:
                numbers[one] = len(segments)
        return numbers, segments
