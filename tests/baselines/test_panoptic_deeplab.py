"""Targets and losses of Panoptic-DeepLab."""

import math

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.panoptic_deeplab import (
    PanopticDeepLabCriterion,
    center_targets,
    hardest,
    mean_of_images,
    mean_over,
)
from mmmaskformer.core import NO_SEGMENT, SegmentTargets
from mmmaskformer.core.per_pixel import pixel_cross_entropy, upsample_logits

ISTHING = (True, True, True, False, False, False)


@pytest.fixture(scope="module")
def reference(shared):
    def load(name):
        return np.load(shared / "baselines" / "reference" / f"{name}.npz")

    return load


def made_target():
    """Two things of class 1 (one without pixels), one of class 0, stuff, and void."""
    segments = torch.full((20, 24), 3, dtype=torch.int32)
    segments[2:7, 3:9] = 0
    segments[5:15, 7:20] = 1
    segments[12:, :4] = NO_SEGMENT
    return SegmentTargets(torch.tensor([1, 0, 1, 4]), segments)


def test_targets_follow_a_slow_loop_over_pixels():
    target = made_target()
    found = center_targets(target, ISTHING, sigma=2, small_area=40, small_weight=3)
    segments = target.segment_map.tolist()
    pixels = {
        s: [(y, x) for y in range(20) for x in range(24) if segments[y][x] == s] for s in range(4)
    }
    centers = {
        s: (
            sum(y for y, _ in pixels[s]) / len(pixels[s]),
            sum(x for _, x in pixels[s]) / len(pixels[s]),
        )
        for s in (0, 1)
    }
    assert len(pixels[0]) < 40 <= len(pixels[1])
    for y in range(20):
        for x in range(24):
            s = segments[y][x]
            assert found.classes[y, x] == {0: 1, 1: 0, 3: 4, NO_SEGMENT: 6}[s]
            assert found.weight[y, x] == (3 if s == 0 else 1)
            assert found.labelled[y, x] == (s != NO_SEGMENT)
            assert found.thing[y, x] == (s in centers)
            offset = [c - p for c, p in zip(centers.get(s, (y, x)), (y, x), strict=True)]
            assert found.offset[:, y, x].tolist() == pytest.approx(offset)
            heat = 0.0
            for center in centers.values():
                dy, dx = y - round(center[0]), x - round(center[1])
                if max(abs(dy), abs(dx)) <= 7:
                    heat = max(heat, math.exp(-(dy * dy + dx * dx) / 8))
            assert found.heat[y, x].item() == pytest.approx(heat)


@pytest.mark.data
@pytest.mark.parametrize(("setting", "sigma", "small"), [("a", 8, 600), ("b", 10, 4096)])
@pytest.mark.parametrize("scene", [0, 1])
def test_targets_are_the_published_implementation_s(reference, scene, setting, sigma, small):
    """That one draws the centre of a crowd, too: its heat map is compared with a crowd that is an
    ordinary thing, and all else where no crowd is."""
    made = reference("pdl_targets")
    ids = torch.from_numpy(made[f"ids{scene}"])
    segments = torch.full_like(ids, NO_SEGMENT)
    for number, key in enumerate(made[f"seg_id{scene}"].tolist()):
        segments[ids == key] = number
    labels = torch.from_numpy(made[f"seg_class{scene}"])
    crowd = torch.from_numpy(made[f"seg_crowd{scene}"])
    options = dict(sigma=sigma, small_area=small)
    with_crowd = center_targets(SegmentTargets(labels, segments), ISTHING, **options)
    is_crowd = (segments >= 0) & (crowd[segments.long()] == 1)
    void_crowd = SegmentTargets(labels, segments.masked_fill(is_crowd, NO_SEGMENT))
    found = center_targets(void_crowd, ISTHING, **options)

    def wanted(name):
        return torch.from_numpy(made[f"{name}{scene}{setting}"]).squeeze(0)

    seen = ~is_crowd
    assert torch.equal(with_crowd.heat, wanted("center"))
    classes = wanted("sem_seg").long()
    assert torch.equal(found.classes[seen], classes.masked_fill(classes == 255, 6)[seen])
    assert torch.equal(found.offset[:, seen], wanted("offset")[:, seen])
    assert torch.equal(found.weight[seen], wanted("sem_seg_weights")[seen])
    assert torch.equal(found.labelled.float(), wanted("center_weights"))
    assert torch.equal(found.thing.float(), wanted("offset_weights"))


@pytest.mark.data
@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("weighted", [True, False])
def test_losses_are_the_published_implementation_s(reference, share, weighted):
    made = reference("pdl_losses")
    part = {name: torch.from_numpy(made[name]) for name in made.files if made[name].ndim}
    logits = part["pred_sem"].requires_grad_()
    centers = torch.cat([part["pred_center"], 4 * part["pred_offset"]], 1).requires_grad_()
    classes = part["target_sem_seg"].long()
    classes[classes == 255] = 6
    weight = part["target_sem_seg_weights"] if weighted else 1
    losses = pixel_cross_entropy(upsample_logits(logits, (96, 128)), classes) * weight
    semantic = hardest(losses, share).mean()
    name = f"loss_sem_{'all' if share == 1 else 'top20'}_{'w' if weighted else 'now'}"
    assert semantic.item() == pytest.approx(made[name].item(), rel=1e-5)
    full = upsample_logits(centers, (96, 128))
    where = part["target_center_weights"][:, 0]
    heat = 200 * mean_over((full[:, 0] - part["target_center"]) ** 2 * where, where)
    assert heat.item() == pytest.approx(made["loss_center"].item(), rel=1e-5)
    where = part["target_offset_weights"][:, 0]
    error = (full[:, 1:] - part["target_offset"]).abs().sum(1) * where
    offset = 0.01 * mean_over(error, where)
    assert offset.item() == pytest.approx(made["loss_offset"].item(), rel=1e-5)
    if share == 0.2 and weighted:
        (semantic + heat + offset).backward()
        torch.testing.assert_close(logits.grad, part["grad_sem"], rtol=1e-4, atol=1e-7)
        grads = torch.cat([part["grad_center"], part["grad_offset"] / 4], 1)
        torch.testing.assert_close(centers.grad, grads, rtol=1e-4, atol=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_losses_of_images_are_those_of_the_other_implementation(reference, share):
    """deeplab2 gives one value per image, and takes the mean of them."""
    made, given = reference("pdl_losses_deeplab2"), reference("pdl_losses")
    part = {name: torch.from_numpy(given[name]) for name in given.files if given[name].ndim}
    classes = part["target_sem_seg"].long()
    classes[classes == 255] = 6
    losses = pixel_cross_entropy(upsample_logits(part["pred_sem"], (96, 128)), classes)
    hard = hardest(losses * part["target_sem_seg_weights"], share, per_image=True)
    full = upsample_logits(torch.cat([part["pred_center"], 4 * part["pred_offset"]], 1), (96, 128))
    heat = (full[:, :1] - part["target_center"]) ** 2 * part["target_center_weights"]
    offset = (full[:, 1:] - part["target_offset"]).abs() * part["target_offset_weights"]
    errors = {f"sem_top{share}": hard, "center": 200 * heat, "offset": 0.01 * offset}
    for name, one in errors.items():
        each = [mean_of_images(image[None]).item() for image in one]
        assert each == pytest.approx(made[name].tolist(), rel=1e-5), name
        assert mean_of_images(one).item() == pytest.approx(made[name].mean(), rel=1e-5)


def test_the_criterion_joins_targets_and_losses():
    torch.manual_seed(0)
    target = made_target()
    logits, centers = torch.randn(2, 6, 5, 6), torch.randn(2, 3, 5, 6)
    criterion = PanopticDeepLabCriterion(ISTHING, sigma=2, small_area=40, hard_pixel_share=0.1)
    losses = criterion(logits, centers, [target, target])
    one = center_targets(target, ISTHING, sigma=2, small_area=40)
    full = torch.nn.functional.interpolate(
        torch.cat([logits, centers], 1), scale_factor=4, mode="bilinear"
    )
    hard, heat, offset = [], [], []
    for maps in full:
        for y, x in np.ndindex(20, 24):
            c, where = one.classes[y, x], (y, x)
            log_prob = maps[:6, y, x].log_softmax(0)
            hard.append(0.0 if c == 6 else -log_prob[c].item() * one.weight[where].item())
            if one.labelled[where]:
                heat.append((maps[6, y, x] - one.heat[where]).item() ** 2)
            if one.thing[where]:
                offset.append((maps[7:, y, x] - one.offset[:, y, x]).abs().sum().item())
    hard = sorted(hard)[-int(0.1 * len(hard)) :]
    assert losses["loss_semantic"].item() == pytest.approx(np.mean(hard), rel=1e-5)
    assert losses["loss_center"].item() == pytest.approx(200 * np.mean(heat), rel=1e-5)
    assert losses["loss_offset"].item() == pytest.approx(0.01 * np.mean(offset), rel=1e-5)


def test_the_criterion_averages_images_where_asked():
    """A void image counts as one with losses of 0; with a whole share the other is alone."""
    torch.manual_seed(0)
    void = SegmentTargets(
        torch.zeros(0, dtype=torch.int64), torch.full((20, 24), NO_SEGMENT, dtype=torch.int32)
    )
    logits, centers = torch.randn(2, 6, 5, 6), torch.randn(2, 3, 5, 6)
    logits, centers = logits.requires_grad_(), centers.requires_grad_()
    options = dict(sigma=2, small_area=40, hard_pixel_share=1.0)
    images = PanopticDeepLabCriterion(ISTHING, per_image=True, **options)
    losses = images(logits, centers, [made_target(), void])
    batch = PanopticDeepLabCriterion(ISTHING, **options)
    alone = batch(logits[:1], centers[:1], [made_target()])
    labelled = (made_target().segment_map != NO_SEGMENT).float().mean()
    for name, factor in (("semantic", 1 / labelled), ("center", 1), ("offset", 0.5)):
        wanted = alone[f"loss_{name}"].item() * factor / 2
        assert losses[f"loss_{name}"].item() == pytest.approx(float(wanted), rel=1e-5), name
    sum(losses.values()).backward()
    assert logits.grad.isfinite().all()
    assert centers.grad.isfinite().all()
    assert centers.grad[0].any()
    assert not centers.grad[1].any()
    with pytest.raises(ValueError, match="per_image must be True or False, got 'yes'"):
        PanopticDeepLabCriterion(ISTHING, per_image="yes")


@pytest.mark.parametrize("segments", ["void", "no thing"])
def test_images_without_things_have_finite_losses(segments):
    labels = torch.tensor([4] if segments == "no thing" else [], dtype=torch.int64)
    value = 0 if len(labels) else NO_SEGMENT
    target = SegmentTargets(labels, torch.full((8, 8), value, dtype=torch.int32))
    parts = [torch.ones(1, channels, 2, 2, requires_grad=True) for channels in (6, 3)]
    losses = PanopticDeepLabCriterion(ISTHING)(*parts, [target])
    assert losses["loss_offset"].item() == 0
    if not len(labels):
        assert all(loss.item() == 0 for loss in losses.values())
    else:
        assert losses["loss_center"].item() == pytest.approx(200)
    sum(losses.values()).backward()
    assert all(part.grad.isfinite().all() for part in parts)
