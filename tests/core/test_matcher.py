import itertools

import pytest
import torch
from torch.nn import functional as F

from mmmaskformer import core
from mmmaskformer.core import losses, matcher, tuning


def problem(queries=5, segments=3, grid=(6, 7), size=(25, 28), batch=2, layers=2):
    output = core.FactoredOutput(
        torch.randn(layers, batch, queries, 9),
        torch.randn(layers, batch, queries, 4),
        torch.randn(batch, 4, *grid),
    )
    targets = [
        core.SegmentTargets(
            torch.randint(0, 8, (segments,)),
            torch.randint(-1, segments, size, dtype=torch.int32),
            f"image{i}.png",
        )
        for i in range(batch)
    ]
    return output, targets


def cost_by_loops(output, target, layer, image):
    """Paper, Section 3.3 and REFERENCE: -p(class) + 20 focal + dice, one pair at a time."""
    logits = core.layer_mask_logits(output, layer)[image].flatten(1)
    prob = output.class_logits[layer, image].softmax(-1)
    grid = core.pixel_embedding(output.pixels).shape[-2:]
    masks = F.interpolate(target.masks()[None].float(), grid, mode="nearest")[0].flatten(1)
    cost = torch.empty(len(logits), len(masks))
    for q, g in itertools.product(range(len(logits)), range(len(masks))):
        focal = losses.FocalLoss()(logits[q : q + 1], masks[g : g + 1])
        dice = losses.DiceLoss()(logits[q : q + 1], masks[g : g + 1])
        cost[q, g] = -prob[q, target.labels[g]] + 20 * focal + dice
    return cost


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_costs_equal_loops_over_pairs(chunk, monkeypatch):
    monkeypatch.setattr(tuning, "chunk_elements", lambda *_: chunk)
    output, targets = problem()
    for image, target in enumerate(targets):
        costs = core.HungarianAssigner().costs(output, image, target)
        for layer in range(2):
            expected = cost_by_loops(output, target, layer, image)
            torch.testing.assert_close(costs[layer], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("queries", "segments"), [(5, 3), (3, 5), (4, 4)])
def test_matching_is_the_cheapest(queries, segments):
    output, targets = problem(queries, segments)
    assigner = core.HungarianAssigner()
    matches = assigner(output, targets)
    assert matches.per_image == (2 * min(queries, segments),) * 2
    for layer, image in itertools.product(range(2), range(2)):
        cost = assigner.costs(output, image, targets[image])[layer]
        here = (matches.layer == layer) & (matches.image == image)
        ours = cost[matches.query[here], matches.segment[here]].sum().item()
        wide = cost if queries >= segments else cost.T
        best = min(
            sum(wide[r, c].item() for c, r in enumerate(rows))
            for rows in itertools.permutations(range(wide.shape[0]), wide.shape[1])
        )
        assert ours == pytest.approx(best, abs=1e-4)


def test_ground_truth_is_reduced_by_floor_index():
    segment_map = torch.arange(30).view(5, 6) % 4
    target = core.SegmentTargets(torch.zeros(4, dtype=torch.int64), segment_map)
    one_hot = matcher.one_hot_segments(target, (2, 3))
    expected = segment_map[[0, 2]][:, [0, 2, 4]].flatten()  # floor(i * 5 / 2), floor(i * 6 / 3)
    assert one_hot.argmax(1).tolist() == expected.tolist()
    assert one_hot.sum(1).tolist() == [1] * 6


@pytest.mark.parametrize(
    ("where", "cost"),
    [("class_logits", "ClassificationCost"), ("mask_embed", "FocalCost, DiceCost")],
)
def test_non_finite_cost_names_image_layer_and_cost(where, cost):
    output, targets = problem(batch=2, layers=3)
    getattr(output, where)[1:, 0, 2] = float("nan")
    with pytest.raises(core.NonFiniteCostError, match=rf"image0\.png: .* layer 1 \({cost}\)"):
        core.HungarianAssigner()(output, targets)


def test_costs_under_autocast_are_float32():
    output, targets = problem()
    expected = core.HungarianAssigner().costs(output, 0, targets[0])
    with torch.autocast("cpu", torch.bfloat16):
        found = core.HungarianAssigner().costs(output, 0, targets[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_half_precision_factors_give_finite_costs():
    output, targets = problem()
    half = core.FactoredOutput(
        output.class_logits.half() * 30,
        output.mask_embed.half() * 30,
        core.pixel_embedding(output.pixels).half(),
    )
    assert core.HungarianAssigner().costs(half, 0, targets[0]).isfinite().all()


@pytest.mark.parametrize("alpha", [0.25, -1.0])
def test_focal_cost_is_the_focal_loss(alpha):
    output, targets = problem()
    assigner = core.HungarianAssigner([core.FocalCost(1.0, alpha=alpha, gamma=1.5)])
    cost = assigner.costs(output, 0, targets[0])[1]
    logits = core.layer_mask_logits(output, 1)[0].flatten(1)
    one_hot = matcher.one_hot_segments(targets[0], (6, 7))
    for segment in range(3):
        expected = core.FocalLoss(alpha=alpha, gamma=1.5)(logits, one_hot[:, segment].expand(5, -1))
        torch.testing.assert_close(cost[:, segment], expected, rtol=1e-5, atol=1e-6)


def test_no_costs_are_refused():
    with pytest.raises(ValueError, match="match_costs"):
        core.HungarianAssigner([])


def test_wrong_number_of_targets():
    output, targets = problem()
    with pytest.raises(ValueError, match="1 targets for 2 images"):
        core.HungarianAssigner()(output, targets[:1])
