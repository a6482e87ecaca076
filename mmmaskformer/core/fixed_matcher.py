"""Fixed matching of queries and classes (the paper's ablation of the matching)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .folded_masks import pixel_embedding
from .matcher import Matches, NonFiniteCostError, check_number_of_targets, joined
from .structures import FactoredOutput, SegmentTargets
from .targets import check_segments, is_legal


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
        legal = torch.stack([is_legal(target, output.num_classes) for target in targets])
        labels = torch.cat([target.labels for target in targets])
        # The only copy to the host.
        parts = [are_finite(output).long(), legal.long(), labels]
        finite, legal, labels = torch.cat(parts).cpu().split([part.numel() for part in parts])
        rows = []
        counts = [target.num_segments for target in targets]
        for image, (target, classes) in enumerate(zip(targets, labels.split(counts), strict=True)):
            if not legal[image]:
                check_segments(target, output.num_classes)
            if not finite[image]:
                raise NonFiniteCostError(f"{target.name}: non-finite output of the network")
            rows.append(pairs_of_classes(classes, target.name, image, layers))
        return joined(rows, output.device)


def are_finite(output: FactoredOutput) -> Tensor:
    """(B,) bool: whether all that the network says of an image is finite."""
    dense = pixel_embedding(output.pixels)
    queries = torch.cat([output.class_logits, output.mask_embed], -1).isfinite().all(-1)
    return queries.all(2).all(0) & dense.isfinite().flatten(1).all(1)


def pairs_of_classes(labels: Tensor, name: str, image: int, layers: int) -> Tensor:
    """(4, N) int64 on the host: layer, image, query (its class) and segment of every pair.

    Args:
        labels: (G,) of the image's segments, on the host; `name`: what errors call the image.
    """
    classes, segments = labels.sort()
    twice = classes[1:][classes.diff() == 0].unique().tolist()
    if twice:
        raise ValueError(
            f"{name}: classes {twice} have more than one segment; fixed matching needs semantic "
            "labels, with one segment for each class"
        )
    layer = torch.arange(layers).repeat_interleave(len(classes))
    return torch.stack(
        [layer, torch.full_like(layer, image), classes.repeat(layers), segments.repeat(layers)]
    )
