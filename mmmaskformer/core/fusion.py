"""Inference from factored outputs (paper, Section 3.4), in bands of rows.

A score map of C classes at full size is formed a few rows at a time; a caller who wants labels
only never sees more of it, and the views of test-time augmentation are summed band by band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .folded_masks import layer_mask_logits
from .structures import FactoredOutput
from .tuning import BAND_ELEMENTS


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
    size = _size(input_size)
    class_prob = output.class_logits[-1].float().softmax(-1)
    mask_logits = layer_mask_logits(output).float()
    placed = zip(map(_size, contents or [size] * count), flips or [False] * count)
    return [
        View(prob, logits, size, content, flip)
        for prob, logits, (content, flip) in zip(class_prob, mask_logits, placed)
    ]


def pixel_views_of(
    class_logits: Tensor, contents: Sequence[Sequence[int]], flips: Sequence[bool]
) -> list[PixelView]:
    """The views of per-pixel class logits (B, C, h, w), which are upsampled by exactly 4."""
    size = tuple(4 * length for length in class_logits.shape[-2:])
    return [
        PixelView(logits.float(), size, _size(content), flip)
        for logits, content, flip in zip(class_logits, contents, flips)
    ]


def _size(size: Sequence[int]) -> tuple[int, int]:
    height, width = size
    return int(height), int(width)


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


class BandedFusion:
    """Score maps at the output size, band by band, averaged over views; what a view's scores
    are is the subclass's business.

    Attributes:
        view_type: the kind of views that are fused.
    """

    view_type: type = View

    def scores(self, views: Sequence[AnyView], size: Sequence[int]) -> Tensor:
        """Score maps (C, H, W) float32 at `size` = (H, W)."""
        scores = None
        for rows, band in self.bands(views, size):
            if scores is None:
                scores = band.new_empty(*size, len(band)).permute(2, 0, 1)  # laid out as bands
            scores[:, rows] = band
        return scores

    def labels(self, views: Sequence[AnyView], size: Sequence[int]) -> Tensor:
        """Class of each pixel, (H, W) int64; score maps exist one band at a time."""
        labels = None
        for rows, band in self.bands(views, size):
            if labels is None:  # Bands' labels of their own would scatter the heap.
                labels = band.new_empty(*size, dtype=torch.int64)
            labels[rows] = band.argmax(0)
        return labels

    def bands(
        self, views: Sequence[AnyView], size: Sequence[int]
    ) -> Iterator[tuple[slice, Tensor]]:
        """Rows and their scores (C, rows, W), one band after another, top to bottom."""
        if not views:
            raise ValueError("fusion needs at least one view")
        bands = list(row_bands(views, size))
        # One slab of rows per view: together they take the memory of one band.
        elements = band_elements(views[0]) // len(views)
        parts = [self.view_bands(view, size, bands, elements) for view in views]
        for rows in bands:
            total = next(parts[0])
            for part in parts[1:]:
                total = total + next(part)
            yield rows, total / len(views) if len(views) > 1 else total

    def view_bands(
        self, view: AnyView, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """Scores (C, rows, W) of one view, band by band.

        Args:
            elements: numbers that may be kept between two bands, about.
        """
        raise NotImplementedError


def band_elements(view: AnyView) -> int:
    """Elements of a band on the view's device."""
    return BAND_ELEMENTS[view.maps.device.type]


def row_bands(views: Sequence[AnyView], size: Sequence[int]) -> Iterator[slice]:
    """Bands of output rows, each of about `band_elements` and at least one row."""
    height, width = size
    # A row of the result and the rows of the network's input that it comes from.
    pixels = width + max(-(-v.content_size[0] // height) * v.content_size[1] for v in views)
    channels = max(view.channels for view in views)
    step = max(1, band_elements(views[0]) // max(1, channels * pixels))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


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


class SemanticFusion(BandedFusion):
    """Semantic inference: per pixel, class probability times mask probability, summed over
    queries. The results are scores, not probabilities.

    Mask logits are upsampled to the network's input size, the scores formed there, cut to the
    image and resized to the output size.

    Args:
        resize_logits: cut and resize the mask logits instead, and form the scores at the output
            size: what the original does with its panoptic models.
    """

    def __init__(self, *, resize_logits: bool = False) -> None:
        self.resize_logits = resize_logits

    def view_bands(
        self, view: View, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """See `BandedFusion.view_bands`.

        Neighbouring bands of the output read the same rows of the content; those of one slab of
        rows are formed once.
        """
        height, width = view.content_size
        slab_rows = elements // (view.channels * width)
        slab, scores = slice(0, 0), None
        for rows in bands:
            if self.resize_logits:
                yield semantic_scores(view, output_maps(view, size, rows))
                continue
            wanted = source_span(height, size[0], rows)
            if wanted.stop > slab.stop:
                # Where nothing is resized, no two bands read the same row.
                most = 0 if height == size[0] else slab_rows
                stop = max(wanted.stop, min(wanted.start + most, height))
                slab, scores = slice(wanted.start, stop), None  # frees the last one first
                scores = semantic_scores(view, content_maps(view, slab))
            yield resize_rows(scores, slab.start, height, size, rows)


def semantic_scores(view: View, logits: Tensor) -> Tensor:
    """Mask logits (Q, rows, W) to scores (C, rows, W)."""
    with torch.autocast(logits.device.type, enabled=False):
        return (logits.sigmoid().permute(1, 2, 0) @ view.class_prob[:, :-1]).permute(2, 0, 1)


class GeneralFusion(BandedFusion):
    """General inference scored as semantic segmentation (paper, Section 3.4 and Table VII): a
    pixel belongs to the query with the largest class probability times mask probability, among
    those whose most likely class is an object with enough confidence.

    The score of a class is the best of its queries, so that its argmax is the paper's label;
    where no query is confident enough, all scores are 0.

    Args:
        object_threshold: queries with a class probability up to this are left out.
    """

    def __init__(self, *, object_threshold: float = 0.3) -> None:
        self.object_threshold = object_threshold

    def view_bands(
        self, view: View, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """See `BandedFusion.view_bands`."""
        classes = view.class_prob.shape[1] - 1
        confident = confident_queries(view, self.object_threshold)
        weight, labels = confident.scores[:, None, None], confident.labels[:, None, None]
        for rows in bands:
            prob = output_maps(confident.view, size, rows).sigmoid() * weight
            best = prob.new_zeros(classes, *prob.shape[1:])
            yield best.scatter_reduce(0, labels.expand_as(prob), prob, "amax")


@dataclass(frozen=True)
class ConfidentQueries:
    """The queries of a view that are sure of an object.

    Attributes:
        view: with K queries.
        queries: (K,) int64 their numbers.
        scores: (K,) probability of the most likely class.
        labels: (K,) int64 that class.
    """

    view: View
    queries: Tensor
    scores: Tensor
    labels: Tensor


def confident_queries(view: View, threshold: float) -> ConfidentQueries:
    """Queries whose most likely class is an object with more than `threshold` probability."""
    scores, labels = view.class_prob.max(-1)
    no_object = view.class_prob.shape[1] - 1
    keep = torch.nonzero((labels < no_object) & (scores > threshold)).flatten()
    view = replace(view, class_prob=view.class_prob[keep], mask_logits=view.mask_logits[keep])
    return ConfidentQueries(view, keep, scores[keep], labels[keep])


class PerPixelFusion(BandedFusion):
    """Inference of the per-pixel baselines: class logits, cut to the image and resized; no
    softmax."""

    view_type = PixelView

    def view_bands(
        self, view: PixelView, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """See `BandedFusion.view_bands`."""
        for rows in bands:
            yield output_maps(view, size, rows)
