"""Inference from factored outputs (paper, Section 3.4), in bands of rows.

A score map of C classes at full size is formed a few rows at a time; a caller who wants labels
only never sees more of it, and the views of test-time augmentation are summed band by band.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .structures import FactoredOutput

BAND_ELEMENTS = defaultdict(lambda: 1 << 24, cpu=1 << 21)
"""Elements of score map per band, by kind of device. On a CPU, 8 MB stay in the cache and are
memory that the C library's heap reuses; larger blocks are mapped, and zeroed by the kernel, page
by page, for each band anew."""


@dataclass(frozen=True)
class View:
    """One network input of an image, and what the network made of it, still factored.

    Attributes:
        class_prob: (Q, C + 1), "no object" last; (C, 0) for the per-pixel baselines, whose mask
            logits are class logits.
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

    @classmethod
    def of(
        cls,
        output: FactoredOutput,
        image: int,
        input_size: Sequence[int],
        content_size: Sequence[int] | None = None,
        flip: bool = False,
    ) -> View:
        """The view of one image of a batch, from the last decoder layer; in float32."""
        class_prob = output.class_logits[-1, image].float().softmax(-1)
        mask_logits = output.image(image).mask_logits()[0].float()
        size = tuple(int(s) for s in input_size)
        content = tuple(int(s) for s in (content_size or input_size))
        return cls(class_prob, mask_logits, size, content, flip)

    @classmethod
    def of_pixel_logits(
        cls, logits: Tensor, content_size: Sequence[int], flip: bool = False
    ) -> View:
        """The view of per-pixel class logits (C, h, w), which are upsampled by exactly 4."""
        classes, height, width = logits.shape
        content = tuple(int(s) for s in content_size)
        empty = logits.new_empty(classes, 0)
        return cls(empty, logits.float(), (4 * height, 4 * width), content, flip)


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
        of_queries: whether views of queries are wanted, or of per-pixel class logits.
    """

    of_queries = True

    def scores(self, views: Sequence[View], size: Sequence[int]) -> Tensor:
        """Score maps (C, H, W) float32 at `size` = (H, W)."""
        scores = None
        for rows, band in self.bands(views, size):
            if scores is None:
                scores = band.new_empty(*size, len(band)).permute(2, 0, 1)  # laid out as bands
            scores[:, rows] = band
        return scores

    def labels(self, views: Sequence[View], size: Sequence[int]) -> Tensor:
        """Class of each pixel, (H, W) int64; score maps exist one band at a time."""
        labels = None
        for rows, band in self.bands(views, size):
            if labels is None:  # Bands' labels of their own would scatter the heap.
                labels = band.new_empty(*size, dtype=torch.int64)
            labels[rows] = band.argmax(0)
        return labels

    def bands(self, views: Sequence[View], size: Sequence[int]) -> Iterator[tuple[slice, Tensor]]:
        """Rows and their scores (C, rows, W), one band after another, top to bottom."""
        if not views:
            raise ValueError("fusion needs at least one view")
        prepared = self.prepare(views)
        for rows in row_bands(views, size):
            total = self.band(prepared[0], size, rows)
            for other in prepared[1:]:
                total = total + self.band(other, size, rows)
            yield rows, total / len(views) if len(views) > 1 else total

    def prepare(self, views: Sequence[View]) -> Sequence:
        """What `band` works on, one for each view."""
        return views

    def band(self, prepared, size: Sequence[int], rows: slice) -> Tensor:
        """Scores (C, len(rows), W) of one prepared view."""
        raise NotImplementedError


def band_elements(view: View) -> int:
    """Elements of a band of the view's device."""
    return BAND_ELEMENTS[view.mask_logits.device.type]


def row_bands(views: Sequence[View], size: Sequence[int]) -> Iterator[slice]:
    """Bands of output rows, each of about `band_elements` and at least one row."""
    height, width = size
    # A row of the result and the rows of the network's input that it comes from.
    pixels = width + max(-(-v.content_size[0] // height) * v.content_size[1] for v in views)
    channels = max(sum(view.class_prob.shape) for view in views)
    step = max(1, band_elements(views[0]) // max(1, channels * pixels))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def content_logits(view: View, rows: slice) -> Tensor:
    """Mask logits (Q, len(rows), content width) at the network's input size, padding cut."""
    grid_height = view.mask_logits.shape[1]
    grid = source_span(grid_height, view.input_size[0], rows)
    slab = view.mask_logits[:, grid]
    logits = resize_rows(slab, grid.start, grid_height, view.input_size, rows)
    logits = logits[..., : view.content_size[1]]
    return logits.flip(-1) if view.flip else logits


def output_logits(view: View, size: Sequence[int], rows: slice) -> Tensor:
    """Mask logits (Q, len(rows), W): upsampled to the network's input size, cut, resized."""
    height = view.content_size[0]
    content = source_span(height, size[0], rows)
    return resize_rows(content_logits(view, content), content.start, height, size, rows)


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

    def prepare(self, views: Sequence[View]) -> list[ContentScores]:
        """See `BandedFusion.prepare`."""
        return [ContentScores(view, band_elements(view) // len(views)) for view in views]

    def band(self, content: ContentScores, size: Sequence[int], rows: slice) -> Tensor:
        """See `BandedFusion.band`."""
        if self.resize_logits:
            return semantic_scores(content.view, output_logits(content.view, size, rows))
        height = content.view.content_size[0]
        if height == size[0]:  # No two bands read the same row.
            scores = semantic_scores(content.view, content_logits(content.view, rows))
            return resize_rows(scores, rows.start, height, size, rows)
        first_row, scores = content.rows(source_span(height, size[0], rows))
        return resize_rows(scores, first_row, height, size, rows)


def semantic_scores(view: View, logits: Tensor) -> Tensor:
    """Mask logits (Q, rows, W) to scores (C, rows, W)."""
    with torch.autocast(logits.device.type, enabled=False):
        return (logits.sigmoid().permute(1, 2, 0) @ view.class_prob[:, :-1]).permute(2, 0, 1)


class ContentScores:
    """Scores of a view at its content's size, one slab of rows at a time: neighbouring bands of
    the output read the same rows, and those of one slab are formed once.

    Args:
        elements: of a slab with its mask logits, about; a slab has all rows asked for at once.
    """

    def __init__(self, view: View, elements: int) -> None:
        self.view = view
        self.slab_rows = elements // (sum(view.class_prob.shape) * view.content_size[1])
        self.slab = slice(0, 0)
        self.scores = None

    def rows(self, rows: slice) -> tuple[int, Tensor]:
        """The first row of a slab that has `rows`, and the slab's scores (C, slab, width)."""
        if rows.start < self.slab.start or rows.stop > self.slab.stop:
            stop = min(rows.start + self.slab_rows, self.view.content_size[0])
            stop = max(stop, rows.stop)
            self.slab, self.scores = slice(rows.start, stop), None  # frees the last one first
            self.scores = semantic_scores(self.view, content_logits(self.view, self.slab))
        return self.slab.start, self.scores


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

    def prepare(self, views: Sequence[View]) -> list[ConfidentQueries]:
        """See `BandedFusion.prepare`."""
        return [confident_queries(view, self.object_threshold) for view in views]

    def band(self, view: ConfidentQueries, size: Sequence[int], rows: slice) -> Tensor:
        """See `BandedFusion.band`."""
        prob = output_logits(view.view, size, rows).sigmoid() * view.scores[:, None, None]
        classes = view.view.class_prob.shape[1] - 1
        best = prob.new_zeros(classes, *prob.shape[1:])
        index = view.labels[:, None, None].expand_as(prob)
        return best.scatter_reduce(0, index, prob, "amax")


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
    softmax. A view's `mask_logits` are its class logits (C, h, w)."""

    of_queries = False

    def band(self, view: View, size: Sequence[int], rows: slice) -> Tensor:
        """See `BandedFusion.band`."""
        return output_logits(view, size, rows)
