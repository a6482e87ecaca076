"""Losses, matches and gradients against numbers of the original implementation."""

import pytest
import torch

from mmmaskformer import core
from tests.reference import load

CASES = [
    "basic",
    "odd_ratio",
    "more_gt_than_queries",
    "one_image_empty",
    "all_empty",
    "empty_gt_mask",
    "extreme_logits",
    "other_weights",
]  # "overlapping_gt" is left out: a segment map can not say it, nor can any dataset here.


def factored(pred_logits, pred_masks):
    """Dense masks (L, B, Q, h, w) as factors: one channel per layer and query."""
    layers, batch, queries, height, width = pred_masks.shape
    pixels = pred_masks.transpose(0, 1).reshape(batch, layers * queries, height, width)
    embed = torch.eye(layers * queries).view(layers, 1, queries, -1).expand(-1, batch, -1, -1)
    return core.FactoredOutput(pred_logits, embed, pixels)


def targets_of(case):
    targets = []
    for t in case["targets"]:
        masks = t["masks"].bool()
        segment_map = torch.full(masks.shape[1:], core.NO_SEGMENT)
        for index, mask in enumerate(masks):
            segment_map[mask] = index
        targets.append(core.SegmentTargets(t["labels"], segment_map))
    return targets


def criterion_of(settings):
    s, w = settings, settings["weight_dict"]
    costs = [
        core.ClassificationCost(s["cost_class"]),
        core.FocalCost(s["cost_mask"]),
        core.DiceCost(s["cost_dice"]),
    ]
    return core.MaskFormerCriterion(
        core.HungarianAssigner(costs),
        loss_cls=core.ClassLoss(w["loss_ce"], no_object_weight=s["eos_coef"]),
        loss_mask=core.FocalLoss(w["loss_mask"]),
        loss_dice=core.DiceLoss(w["loss_dice"]),
    )


def check_case(case):
    logits = case["pred_logits"].clone().requires_grad_()
    masks = case["pred_masks"].clone().requires_grad_()
    output, targets = factored(logits, masks), targets_of(case)
    criterion = criterion_of(case["settings"])

    matches = criterion.assigner(output, targets)
    for layer, images in enumerate(case["indices_per_layer"]):
        for image, (queries, segments) in enumerate(images):
            here = (matches.layer == layer) & (matches.image == image)
            assert matches.query[here].tolist() == queries.tolist()
            assert matches.segment[here].tolist() == segments.tolist()

    losses = criterion(output, targets)
    names = {"loss_cls": "loss_ce", "loss_mask": "loss_mask", "loss_dice": "loss_dice"}
    weights = case["settings"]["weight_dict"]
    for layer in range(output.num_layers):
        last = layer == output.num_layers - 1
        for ours, theirs in names.items():
            key = theirs if last else f"{theirs}_{layer}"
            expected = case["losses_unweighted"][key] * weights[key]
            torch.testing.assert_close(
                losses[ours if last else f"d{layer}.{ours}"], expected, rtol=1e-5, atol=1e-7
            )
    total = sum(losses.values())
    torch.testing.assert_close(total, case["total_weighted"], rtol=1e-5, atol=1e-6)
    total.backward()
    for ours, theirs in ((logits, "grad_pred_logits"), (masks, "grad_pred_masks")):
        expected = case[theirs]
        tolerance = 1e-5 * expected.abs().max().item() + 1e-9
        torch.testing.assert_close(ours.grad, expected, rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_single_process(name):
    check_case(load("criterion_small")["single_process"][name])


@pytest.mark.parametrize("name", ["two_ranks_3_and_9"])
def test_normaliser_is_the_mean_over_processes(name, monkeypatch):
    """The other rank is played by a number; real processes are tested with the tools."""
    ranks = load("criterion_small")["two_processes"][name]
    counts = [sum(len(t["labels"]) for t in ranks[r]["targets"]) for r in ("rank0", "rank1")]
    monkeypatch.setattr(
        core.criterion, "start_mean_segments", lambda *_: lambda: torch.tensor(sum(counts) / 2)
    )
    for rank in ("rank0", "rank1"):
        check_case(ranks[rank])
