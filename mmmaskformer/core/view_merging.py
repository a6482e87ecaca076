"""Views of test-time augmentation as one view, for panoptic and instance inference.

Scores of semantic inference are averaged after the queries are summed out. Segments need the
queries, and query q of one view need not be query q of another; so the queries of every further
view are matched to those of the first before their factors are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .views import View, check_finite, output_maps


def merge_views(
    views: Sequence[View],
    *,
    logits_at: Callable[[View, Sequence[int], slice], Tensor] = output_maps,
    mask_prob: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> View:
    """One view with the mean class probabilities and mask logits of matched queries.

    Mask logits are averaged on the first view's content at a quarter of its size, and the result
    is a view without padding and flip.

    Args:
        logits_at: mask logits of a view at a size and rows of it.
        mask_prob: maps mask logits (Q, h, w) to probabilities.
    """
    if not views:
        raise ValueError("merging needs at least one view")
    if len(views) == 1:
        return views[0]
    check_finite(views)  # the matching waits for the device anyway
    height, width = views[0].content_size
    grid = (-(-height // 4), -(-width // 4))
    logits = [logits_at(view, grid, slice(0, grid[0])) for view in views]
    class_prob, total = views[0].class_prob.clone(), logits[0].clone()
    reference = mask_prob(logits[0])
    for view, maps in zip(views[1:], logits[1:], strict=True):
        order = match_queries(views[0].class_prob, reference, view.class_prob, mask_prob(maps))
        class_prob += view.class_prob[order]
        total += maps[order]
    count = len(views)
    return View(class_prob / count, total / count, (height, width), (height, width))


def match_queries(class_prob: Tensor, masks: Tensor, other_prob: Tensor, other: Tensor) -> Tensor:
    """For each query of a view the query of another view that is most like it.

    Likeness is the inner product of the class probabilities plus the dice of the masks; the sum
    over all pairs is maximised.

    Args:
        class_prob, other_prob: (Q, C + 1).
        masks, other: (Q, h, w) mask probabilities.

    Returns:
        (Q,) int64 indices into the other view's queries.
    """
    masks, other = masks.flatten(1), other.flatten(1)
    with torch.autocast(masks.device.type, enabled=False):  # sums of pixels overflow in float16
        dice = 2 * masks @ other.T / (masks.sum(1)[:, None] + other.sum(1) + 1)
        likeness = class_prob @ other_prob.T + dice
    _, columns = linear_sum_assignment(likeness.detach().cpu().numpy(), maximize=True)
    return torch.as_tensor(columns, device=masks.device)
