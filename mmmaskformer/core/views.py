"""What fusion starts from: one network input of an image, still factored, and its rows.

A view's maps are resized a few rows at a time, in the two steps of the paper's inference: to the
size of the network's input, where the padding is cut, and from there to the output's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .folded_masks import layer_mask_logits
from .structures import FactoredOutput


@dataclass(frozen=True)
class View:
    """One network input of an image, and what the network made of it, still factored.

    Attributes:
        class_prob: (Q, C + 1), "no object" last.
        mask_logits: (Q, h, w).
        input_size: H, W of the network's input, padding included.
        content_size: H, W of the image in it, at the top left.
        flip: whether the image was mirrored left to right.
    """

    class_prob: Tensor
    mask_logits: Tensor
    input_size: tuple[int, int]
    content_size: tuple[int, int]
    flip: bool = False

    @property
    def maps(self) -> Tensor:
        """What is resized, (Q, h, w)."""
        return self.mask_logits

    @property
    def channels(self) -> int:
        """Numbers per pixel that fusion holds at once."""
        return sum(self.class_prob.shape)


@dataclass(frozen=True)
class PixelView:
    """One network input of an image, and its per-pixel class logits (C, h, w).

    Attributes:
        class_logits: (C, h, w).
        input_size, content_size, flip: as those of `View`.
    """

    class_logits: Tensor
    input_size: tuple[int, int]
    content_size: tuple[int, int]
    flip: bool = False

    @property
    def maps(self) -> Tensor:
        """What is resized, (C, h, w)."""
        return self.class_logits

    @property
    def channels(self) -> int:
        """Numbers per pixel that fusion holds at once."""
        return len(self.class_logits)


AnyView = View | PixelView


class NonFiniteScoreError(FloatingPointError):
    """What the network made of an image is NaN or infinite, so it has no labels."""


def check_finite(views: Sequence[AnyView]) -> None:
    """Raise NonFiniteScoreError for a view whose factors are not all finite; a GPU is waited
    for."""
    refuse_unless(bool(all_finite(views)))


def refuse_unless(finite: bool) -> None:
    """Raise NonFiniteScoreError unless the factors are `finite`, as `all_finite` has it."""
    if not finite:
        raise NonFiniteScoreError(
            "the network's scores are NaN or infinite; are its weights and the image finite?"
        )


def all_finite(views: Sequence[AnyView]) -> Tensor:
    """Whether the factors of all views are finite, a boolean on the device of the views."""
    factors = [view.maps for view in views]
    factors += [view.class_prob for view in views if isinstance(view, View)]
    # The extremes pass NaN on, and are read without a copy of the maps.
    extremes = [extreme for part in factors if part.numel() for extreme in part.aminmax()]
    if not extremes:
        return torch.ones((), dtype=torch.bool, device=factors[0].device if factors else None)
    return torch.stack(extremes).isfinite().all()


def views_of(
    output: FactoredOutput,
    input_size: Sequence[int],
    contents: Sequence[Sequence[int]] | None = None,
    flips: Sequence[bool] | None = None,
) -> list[View]:
    """The views of the images of a batch, from the last decoder layer, in float32.

    Args:
        input_size: H, W of the network's input.
        contents: H, W of each image in it, without padding; None: there is no padding.
        flips: whether each image was mirrored; None: no image was.
    """
    count = output.batch_size
    class_prob = output.class_logits[-1].float().softmax(-1)
    mask_logits = layer_mask_logits(output).float()
    height, width = map(int, input_size)
    size = (height, width)
    placed = [(int(rows), int(columns)) for rows, columns in contents or [size] * count]
    return [
        View(class_prob[i], mask_logits[i], size, content, flip)
        for i, content, flip in zip(range(count), placed, flips or [False] * count, strict=True)
    ]


def resize_rows(
    maps: Tensor, first_row: int, height: int, size: Sequence[int], rows: slice
) -> Tensor:
    """Rows of a bilinear resize (half-pixel centres), from a slab of the source.

    In memory, the maps of a pixel lie together, in what comes out and best in what goes in: that
    is several times faster on a CPU, here and where scores of a pixel are added up or compared.

    Args:
        maps: (N, slab, w), rows `first_row`... of a source of `height` rows.
        size: H, W of the whole result.
        rows: the rows of the result to return.

    Returns:
        (N, len(rows), W).
    """
    pixels = maps.permute(1, 2, 0)
    if height != size[0]:
        top, bottom, weight = _source_rows(height, size[0], rows, maps.device)
        weight = weight[:, None, None].to(maps.dtype)
        pixels = torch.lerp(pixels[top - first_row], pixels[bottom - first_row], weight)
    else:
        pixels = pixels[rows.start - first_row : rows.stop - first_row]
    if pixels.shape[1] == size[1]:
        return pixels.permute(2, 0, 1)
    if not len(maps):  # which interpolate refuses
        return maps.new_zeros(0, len(pixels), size[1])
    maps = pixels[None].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return F.interpolate(maps, size=(maps.shape[2], size[1]), mode="bilinear", align_corners=False)[
        0
    ]


def _source_rows(
    height: int, out_height: int, rows: slice, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """For each result row the two source rows and the weight of the second."""
    index = torch.arange(rows.start, rows.stop, device=device, dtype=torch.float32)
    source = ((index + 0.5) * (height / out_height) - 0.5).clamp(min=0)
    top = source.long().clamp(max=height - 1)
    return top, (top + 1).clamp(max=height - 1), source - top


def source_span(height: int, out_height: int, rows: slice) -> slice:
    """The source rows that `rows` of a bilinear resize read."""
    if height == out_height:
        return rows
    top, bottom, _ = _source_rows(height, out_height, rows, torch.device("cpu"))
    return slice(int(top[0]), int(bottom[-1]) + 1)


def content_maps(view: AnyView, rows: slice) -> Tensor:
    """A view's maps (N, len(rows), content width) at the network's input size, padding cut."""
    grid_height = view.maps.shape[1]
    grid = source_span(grid_height, view.input_size[0], rows)
    maps = resize_rows(view.maps[:, grid], grid.start, grid_height, view.input_size, rows)
    maps = maps[..., : view.content_size[1]]
    return maps.flip(-1) if view.flip else maps


def output_maps(view: AnyView, size: Sequence[int], rows: slice) -> Tensor:
    """A view's maps (N, len(rows), W): upsampled to the network's input size, cut, resized."""
    height = view.content_size[0]
    content = source_span(height, size[0], rows)
    return resize_rows(content_maps(view, content), content.start, height, size, rows)
