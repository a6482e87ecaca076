"""Inference from factored outputs (paper, Section 3.4), in bands of rows.

A score map of C classes at full size is formed a few rows at a time; a caller who wants labels
only never sees more of it, and the views of test-time augmentation are summed band by band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .checks import check_number
from .structures import to_device
from .tuning import BAND_ELEMENTS
from .views import (
    AnyView,
    PixelView,
    View,
    all_finite,
    check_finite,
    content_maps,
    output_maps,
    refuse_unless,
    resize_rows,
    source_span,
)


class BandedFusion:
    """Score maps at the output size, band by band, averaged over views; what a view's scores
    are is the subclass's business.

    Attributes:
        view_type: the kind of views that are fused.
        queries_compete: whether mask probabilities are a softmax over the queries, which would be
            wrong for masks that were trained each for itself.
    """

    view_type: type = View
    queries_compete = False

    def scores(self, views: Sequence[AnyView], size: Sequence[int]) -> Tensor:
        """Score maps (C, H, W) float32 at `size` = (H, W)."""
        scores = None
        for rows, band in self.bands(views, size):
            if scores is None:
                scores = band.new_empty(*size, len(band)).permute(2, 0, 1)  # laid out as bands
            scores[:, rows] = band
        assert scores is not None
        return scores

    def labels(self, views: Sequence[AnyView], size: Sequence[int]) -> Tensor:
        """Class of each pixel, (H, W) int64; score maps exist one band at a time."""
        labels = None
        for rows, band in self.bands(views, size):
            if labels is None:  # Bands' labels of their own would scatter the heap.
                labels = band.new_empty(*size, dtype=torch.int64)
            labels[rows] = band.argmax(0)
        assert labels is not None
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
        check_finite(views)  # last, when a GPU has nothing else to do

    def view_bands(
        self, view: Any, size: Sequence[int], bands: Sequence[slice], elements: int
    ) -> Iterator[Tensor]:
        """Scores (C, rows, W) of one view, band by band.

        Args:
            view: of `view_type`.
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
        nothing = view.maps[:0]
        slab, scores = slice(0, 0), nothing
        for rows in bands:
            if self.resize_logits:
                yield semantic_scores(view, output_maps(view, size, rows))
                continue
            wanted = source_span(height, size[0], rows)
            if wanted.stop > slab.stop:
                # Where nothing is resized, no two bands read the same row.
                most = 0 if height == size[0] else slab_rows
                stop = max(wanted.stop, min(wanted.start + most, height))
                slab, scores = slice(wanted.start, stop), nothing  # frees the last one first
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
        self.object_threshold = check_number("object_threshold", object_threshold, 0, 1)

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
    """Queries whose most likely class is an object with more than `threshold` probability.

    A GPU is waited for once.

    Raises:
        NonFiniteScoreError: the view's factors are not all finite.
    """
    scores, labels = view.class_prob.max(-1)
    no_object = view.class_prob.shape[1] - 1
    sure = (labels < no_object) & (scores > threshold)
    *kept, finite = torch.cat([sure, all_finite([view])[None]]).tolist()
    refuse_unless(finite)
    keep = to_device(
        torch.tensor([q for q, is_kept in enumerate(kept) if is_kept]).long(), sure.device
    )
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
