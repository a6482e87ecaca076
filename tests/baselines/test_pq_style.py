"""MaX-DeepLab's matching and losses against deeplab2's, and against loops."""

import itertools
import math

import numpy as np
import pytest
import torch

from mmmaskformer import core
from mmmaskformer.baselines.pq_style import (
    MaXDeepLabCriterion,
    PQStyleCriterion,
    grid_segments,
    match_slots,
    mean_of_nonzero,
    similarity,
)
from mmmaskformer.core.per_pixel import pixel_cross_entropy
from tests.conftest import SHARED

CHANNELS = [1, 2, 4, 0, 3, 5, 6]
"""Class of each of the file's channels: things, then stuff."""
ISTHING = tuple(c in (1, 2, 4) for c in range(7))
NAMES = {
    "loss_cls": "pq_style_loss_class_term",
    "loss_mask": "pq_style_loss_mask_dice_term",
    "loss_mask_id": "mask_id_cross_entropy_loss",
    "loss_instance": "instance_discrimination_loss",
}


REFERENCE = SHARED / "baselines" / "reference"
FILES = sorted(path.name for path in REFERENCE.glob("max_losses_*slots.npz"))


@pytest.fixture(scope="module", params=FILES or ["max_losses_16slots.npz"])
def made(shared, request):
    return np.load(shared / "baselines" / "reference" / request.param)


def targets_of(made):
    """The segments of both images, and the row of each in the file's tables."""
    targets, rows = [], []
    for semantic, things, classes in zip(
        made["gt_semantic"], made["gt_thing_id"], made["gt_thing_class"], strict=True
    ):
        labels, found = [], []
        segments = np.full(semantic.shape, core.NO_SEGMENT, dtype=np.int32)
        for row, label in enumerate([*classes.tolist(), 0, 3, 5, 6]):
            where = things == row if row < 6 else semantic == label
            if label >= 0 and where.any():
                segments[where] = len(labels)
                labels.append(label)
                found.append(row)
        targets.append(core.SegmentTargets(torch.tensor(labels), torch.from_numpy(segments)))
        rows.append(found)
    return targets, rows


def outputs_of(made, names=("class_logits", "mask_logits", "feat")):
    """Leaves, and what is made of them: class logits in order of the classes, maps with the
    channels first."""
    leaves = [torch.from_numpy(made[name]).requires_grad_() for name in names]
    order = [CHANNELS.index(c) for c in range(7)] + [7]
    made = [leaves[0][..., order], *(leaf.permute(0, 3, 1, 2) for leaf in leaves[1:])]
    return leaves, made


@pytest.mark.data
def test_losses_and_gradients_are_the_published_implementation_s(made):
    leaves, outputs = outputs_of(made)
    losses = MaXDeepLabCriterion(ISTHING)(*outputs, targets_of(made)[0])
    wanted = {ours: made[f"loss_{theirs}"].mean() for ours, theirs in NAMES.items()}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(wanted, rel=1e-5)
    sum(losses.values()).backward()
    for leaf, name in zip(leaves, ("cls", "mask", "feat"), strict=True):
        grad = torch.from_numpy(made[f"grad_{name}"])
        assert (leaf.grad - grad).abs().max() <= 1e-5 * grad.abs().max(), name


@pytest.mark.data
def test_matches_are_the_published_implementation_s(made):
    _, (class_logits, mask_logits, _) = outputs_of(made)
    targets, rows = targets_of(made)
    grids = [grid_segments(target, (17, 17), ISTHING) for target in targets]
    pairs = match_slots(class_logits, mask_logits.flatten(2), grids)
    for image, (segment, slot) in enumerate(pairs):
        found = {(rows[image][g], q) for g, q in zip(segment.tolist(), slot.tolist(), strict=True)}
        # Rows of segments that are not there are matched in the file, too, with what is left.
        matches = {tuple(pair) for pair in np.argwhere(made["match"][image]).tolist()}
        assert found == {pair for pair in matches if pair[0] in rows[image]}
        prob = mask_logits[image].flatten(1).softmax(0) * grids[image].labelled
        likeness = similarity(grids[image], class_logits[image].softmax(1), prob)
        wanted = torch.from_numpy(-made["cost"][image][rows[image]])
        torch.testing.assert_close(likeness, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.data
def test_semantic_loss_is_the_published_implementation_s(made):
    logits = torch.from_numpy(made["semantic_logits"]).permute(0, 3, 1, 2).requires_grad_()
    classes = torch.from_numpy(made["gt_semantic"]).long()[:, ::4, ::4]
    weights = torch.from_numpy(made["semantic_weights"])[:, ::4, ::4]
    losses = pixel_cross_entropy(logits, classes.masked_fill(classes == 255, 7)) * weights
    means = torch.stack([mean_of_nonzero(one) for one in losses])
    torch.testing.assert_close(means, torch.from_numpy(made["loss_semantic_loss"]))
    means.mean().backward()
    wanted = torch.from_numpy(made["grad_sem"]).permute(0, 3, 1, 2)
    torch.testing.assert_close(logits.grad, wanted)


def small_target():
    """Two things of class 0, one of them without a pixel on the grid; two segments of stuff class
    2; a corner is void."""
    segments = torch.full((12, 16), 3, dtype=torch.int32)
    segments[:8, :8] = 0
    segments[1:3, 9:11] = 1
    segments[:, 12:] = 2
    segments[8:, :4] = core.NO_SEGMENT
    return core.SegmentTargets(torch.tensor([0, 0, 2, 2]), segments)


def test_losses_follow_slow_loops():
    """All pairs of segments and slots are tried for the best match."""
    torch.manual_seed(0)
    target, slots = small_target(), 5
    class_logits, mask_logits = torch.randn(1, slots, 4), torch.randn(1, slots, 3, 4)
    embedding = torch.nn.functional.normalize(torch.randn(1, 6, 3, 4), dim=1)
    losses = MaXDeepLabCriterion((True, False, False))(
        class_logits, mask_logits, embedding, [target]
    )
    coarse = target.segment_map[::4, ::4]
    masks = {0: coarse == 0, 2: (coarse == 2) | (coarse == 3)}  # segments of one stuff class
    void = coarse == core.NO_SEGMENT
    prob, classes = mask_logits[0].softmax(0), class_logits[0].softmax(1)
    seen = prob * ~void

    def dice(g, n, add=0.0):
        return (2 * seen[n][masks[g]].sum() + add) / (masks[g].sum() + seen[n].sum() + add)

    label = {0: 0, 2: 2}
    best = max(
        itertools.permutations(range(slots), 2),
        key=lambda pair: sum(
            dice(g, n) * classes[n, label[g]] for g, n in zip(masks, pair, strict=True)
        ),
    )
    of_slot = dict(zip(best, masks, strict=True))
    loss_mask = loss_cls = 0.0
    for n in range(slots):
        if n in of_slot:
            g = of_slot[n]
            loss_mask += 0.75 / slots * classes[n, label[g]] * (1 - dice(g, n, 1.0))
            loss_cls -= 0.75 * dice(g, n) * classes[n, label[g]].log() / slots
        else:
            loss_cls -= 0.25 * prob[n][void].sum() / prob[n].sum() * classes[n, 3].log() / slots
    assert losses["loss_mask"].item() == pytest.approx(3 * loss_mask.item(), rel=1e-4)
    assert losses["loss_cls"].item() == pytest.approx(3 * loss_cls.item(), rel=1e-4)
    own = sum(-prob[n][masks[g]].log().sum() for n, g in of_slot.items())
    assert losses["loss_mask_id"].item() == pytest.approx(0.3 * own.item() / 11, rel=1e-4)
    means = {
        g: torch.nn.functional.normalize(embedding[0][:, mask].mean(1), dim=0)
        for g, mask in masks.items()
    }
    errors = []
    for y, x in np.argwhere(masks[0].numpy()):
        alike = {g: math.exp(mean @ embedding[0, :, y, x] / 0.3) for g, mean in means.items()}
        errors.append(-math.log(alike[0] / sum(alike.values())))
    assert losses["loss_instance"].item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_what_lies_on_void_does_not_count_in_the_match():
    """Slot 0 has the whole segment and all that is void, slot 1 half of the segment."""
    segments = torch.tensor([[0, 0, -1, -1, -1, -1]], dtype=torch.int32)
    target = core.SegmentTargets(torch.tensor([0]), segments.repeat_interleave(4, 1))
    mask_logits = torch.tensor([[4.0, 0.0, 4, 4, 4, 4], [0.0, 4.0, 0, 0, 0, 0]])
    mask_logits[0, 1] = 3.9
    grid = grid_segments(target, (1, 6))
    ((segment, slot),) = match_slots(torch.zeros(1, 2, 2), mask_logits[None], [grid])
    assert (segment.tolist(), slot.tolist()) == ([0], [0])


def test_segments_of_a_class_stay_apart_where_nobody_says_what_is_stuff():
    grid = grid_segments(small_target(), (3, 4))
    assert grid.masks.sum(1).tolist() == [4, 0, 3, 4]
    assert grid_segments(small_target(), (3, 4), (True,) * 3).masks.sum(1).tolist() == [4, 0, 3, 4]
    assert grid_segments(small_target(), (3, 4), (True, True, False)).masks.sum(1).tolist() == [
        *(4, 0, 7, 0)
    ]


@pytest.mark.parametrize("case", ["nothing", "no thing", "off the grid", "more than slots"])
def test_unusual_images_have_finite_losses(case):
    labels, segments = [], torch.full((8, 8), core.NO_SEGMENT, dtype=torch.int32)
    if case == "no thing":
        labels, segments = [1], torch.zeros(8, 8, dtype=torch.int32)
    elif case == "off the grid":
        labels, segments[1:3, 1:3] = [0], 0
    elif case == "more than slots":
        labels = [0] * 4
        segments[::4, ::4] = torch.arange(4, dtype=torch.int32).view(2, 2)
    target = core.SegmentTargets(torch.tensor(labels, dtype=torch.int64), segments)
    torch.manual_seed(0)
    shapes = ((2, 3, 3), (2, 3, 2, 2), (2, 4, 2, 2))
    outputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    losses = MaXDeepLabCriterion((True, False))(*outputs, [target, small_of(target)])
    sum(losses.values()).backward()
    assert all(output.grad is not None and output.grad.isfinite().all() for output in outputs)
    positive = {name: loss.item() > 0 for name, loss in losses.items()}
    assert positive["loss_cls"]
    matched = case in ("no thing", "more than slots")
    assert positive["loss_mask"] == positive["loss_mask_id"] == matched
    assert positive["loss_instance"] == (case == "more than slots")
    if case == "more than slots":
        grid = grid_segments(target, (2, 2))
        ((segment, slot),) = match_slots(outputs[0][:1], outputs[1][:1].flatten(2), [grid])
        assert sorted(slot.tolist()) == [0, 1, 2]
        assert len(segment) == 3


def small_of(target):
    """The same segments, for a batch of two."""
    return core.SegmentTargets(target.labels, target.segment_map.clone(), "other.jpg")


def test_every_layer_is_matched_on_its_own():
    torch.manual_seed(0)
    output = core.FactoredOutput(
        torch.randn(2, 1, 5, 4), torch.randn(2, 1, 5, 6), torch.randn(1, 6, 3, 4)
    )
    criterion = PQStyleCriterion((True, False, False), pq_weight=2.0, mask_id_weight=0.5)
    losses = criterion(output, [small_target()])
    assert set(losses) == {f"{d}loss_{n}" for d in ("", "d0.") for n in ("cls", "mask", "mask_id")}
    grids = [grid_segments(small_target(), (3, 4), (True, False, False))]
    for layer, prefix in enumerate(("d0.", "")):
        logits = torch.einsum("bqd,bdhw->bqhw", output.mask_embed[layer], output.pixels.features)
        alone = PQStyleCriterion().layer_losses(output.class_logits[layer], logits, grids)
        for name, factor in (("loss_cls", 2 / 3), ("loss_mask", 2 / 3), ("loss_mask_id", 5 / 3)):
            torch.testing.assert_close(losses[prefix + name], factor * alone[name])


def test_wrong_scores_and_sizes_are_named():
    target = core.SegmentTargets(torch.tensor([0]), torch.zeros(8, 8, dtype=torch.int32), "a.jpg")
    logits = torch.zeros(1, 2, 3), torch.full((1, 2, 2, 2), torch.nan)
    grid = [grid_segments(target, (2, 2))]
    with pytest.raises(core.NonFiniteCostError, match=r"a\.jpg: non-finite similarity of slots"):
        PQStyleCriterion().layer_losses(*logits, grid)
    with pytest.raises(ValueError, match=r"logits of \(3, 2\) do not belong to an input of \(8, 8"):
        grid_segments(target, (3, 2))
    with pytest.raises(ValueError, match="pq_weight must be at least 0, got -1"):
        PQStyleCriterion(pq_weight=-1)
    with pytest.raises(ValueError, match="isthing must be True or False"):
        MaXDeepLabCriterion(None)
