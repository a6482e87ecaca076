"""The comparison with sampled losses: both ways compute what they say, of the same masks."""

import argparse

import pytest
import torch
from torch.nn import functional as F

from benchmarks import losses as tool
from benchmarks.kit import sampled
from mmmaskformer.core import DiceLoss, FocalLoss

PROBLEM = sampled.Problem((64, 96), segments=3, batch=2, layers=2, queries=5)


def matched_masks():
    """(L, B, Q, H, W) booleans, False for the queries without a segment."""
    masks = torch.stack([target.masks() for target in PROBLEM.targets("cpu")])
    return F.pad(masks, (0, 0, 0, 0, 0, 2)).expand(2, -1, -1, -1, -1)


def test_the_exact_way_is_autograd_at_every_pixel():
    logits = PROBLEM.logits("cpu")
    full = F.interpolate(logits.flatten(0, 1), PROBLEM.size, mode="bilinear")[:, :3]
    full, target = full.flatten(0, 1).flatten(1), matched_masks()[:, :, :3].flatten(0, 2).flatten(1)
    total = sum(
        weight * loss(full, target.float()).sum() / 6
        for weight, loss in ((20, FocalLoss()), (1, DiceLoss()))
    )
    (expected,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(sampled.exact(PROBLEM, "cpu")(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_the_sampled_way_is_mmdets_of_the_same_masks(monkeypatch):
    targets = PROBLEM.targets("cpu")
    assert sampled.sampled_head(PROBLEM, targets).num_points == 12544
    grad = sampled.sampled(PROBLEM, "cpu")()
    assert grad.shape == (2, 2, 5, 16, 24)
    size = grad.abs().sum((-1, -2))
    assert (size[:, :, :3] > 0).all()
    assert not size[:, :, 3:].any()
    # The right masks leave little to learn; in another order they are all wrong.
    right = matched_masks()[..., ::4, ::4].float()
    sums = []
    for order in ([0, 1, 2, 3, 4], [1, 2, 0, 3, 4]):
        sure = (100 * (2 * right - 1))[:, :, order].requires_grad_()
        monkeypatch.setattr(sampled.Problem, "logits", lambda self, device, sure=sure: sure)
        sums.append(sampled.sampled(PROBLEM, "cpu")().abs().sum().item())
    assert 5 * sums[0] < sums[1]


def test_rows_and_their_ratios():
    found = {
        "sampled (mmdet)": {"seconds": 0.2, "memory_mb": 50.0},
        "exact": {"seconds": 0.1, "memory_mb": 75.0},
    }
    assert tool.rows_of(PROBLEM, found) == [
        ["64x96", "3", "sampled (mmdet)", "200.0", "1.00", "50", "1.00"],
        ["64x96", "3", "exact", "100.0", "0.50", "75", "1.50"],
    ]


def test_sizes_that_are_no_grid_are_refused():
    args = argparse.Namespace(sizes=[64, 70], segments=[3], batch=1, layers=1)
    with pytest.raises(ValueError, match="--sizes must be multiples of 4, got 70"):
        tool.problems(args)
