"""Fixed matching of queries and classes (paper, Section 4.3, "MaskFormer-fixed")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .folded_masks import pixel_embedding
from .matcher import Matches, NonFiniteCostError, check_number_of_targets, joined
from .structures import FactoredOutput, SegmentTargets
from .targets import check_segments


class FixedAssigner:
    """Query c answers for class c in every decoder layer; a class that is absent is "no object".

    It needs a query for every class and one segment for every class that is present, so it serves
    semantic segmentation only.
    """

    @torch.no_grad()
    def __call__(self, output: FactoredOutput, targets: Sequence[SegmentTargets]) -> Matches:
        """Match the queries of every layer with the segments of `targets` (one per image).

        Raises:
            NonFiniteCostError: the output is not finite; names the image.
            ValueError: there are fewer queries than classes, an image has two segments of one
                class, or a label or a segment is outside its range.
        """
        check_number_of_targets(output, targets)
        layers, _, queries = output.class_logits.shape[:3]
        if queries < output.num_classes:
            raise ValueError(
                "fixed matching needs a query for every class: num_queries must be at least "
                f"{output.num_classes}, got {queries}"
            )
        factors = (output.class_logits, output.mask_embed, pixel_embedding(output.pixels)[None])
        rows = []
        for image, target in enumerate(targets):
            check_segments(target, output.num_classes)
            if not all(factor[:, image].isfinite().all() for factor in factors):
                raise NonFiniteCostError(f"{target.name}: non-finite output of the network")
            rows.append(pairs_of_classes(target, image, layers))
        return joined(rows, output.device)


def pairs_of_classes(target: SegmentTargets, image: int, layers: int) -> Tensor:
    """(4, N) int64 on the host: layer, image, query (its class) and segment of every pair."""
    classes, segments = target.labels.cpu().sort()
    twice = classes[1:][classes.diff() == 0].unique().tolist()
    if twice:
        raise ValueError(
            f"{target.name}: classes {twice} have more than one segment; fixed matching needs "
            "semantic labels, with one segment for each class"
        )
    layer = torch.arange(layers).repeat_interleave(len(classes))
    return torch.stack(
        [layer, torch.full_like(layer, image), classes.repeat(layers), segments.repeat(layers)]
    )
