import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core import InstanceFusion, PanopticFusion, fusion
from mmmaskformer.core.views import View

ISTHING = [True, False, True, False]


def make_view(queries=12, seed=0, flip=False):
    """Blobs at random places, as a network makes them, with more and less certain classes."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(15.0), indexing="ij")
    centre = (
        torch.rand(queries, 2, 1, 1, generator=generator)
        * torch.tensor([12.0, 15.0])[:, None, None]
    )
    radius = torch.rand(queries, 1, 1, generator=generator) * 5 + 2
    distance = ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2).sqrt()
    logits = 2 * (radius - distance) + 0.3 * torch.randn(queries, 12, 15, generator=generator)
    class_logits = 4 * torch.randn(queries, 5, generator=generator)
    return View(class_logits.softmax(-1), logits, (48, 60), (45, 57), flip)


def loop(view, size, object_threshold, overlap_threshold):
    """The definition, one query and one full-size mask at a time."""
    full = F.interpolate(view.mask_logits[None], view.input_size, mode="bilinear")
    cut = full[..., : view.content_size[0], : view.content_size[1]]
    prob = F.interpolate(cut.flip(-1) if view.flip else cut, size, mode="bilinear")[0].sigmoid()
    kept = []
    for q, p in enumerate(view.class_prob):
        score, label = p.max(0)
        if label != 4 and score > object_threshold:
            kept.append((q, score.item(), label.item()))
    ids, segments, stuff, number = torch.zeros(size, dtype=torch.int32), [], {}, 0
    if not kept:
        return ids, segments
    owner = torch.stack([score * prob[q] for q, score, _ in kept]).argmax(0)
    for k, (q, _, label) in enumerate(kept):
        mask = owner == k
        won, own = mask.sum().item(), (prob[q] >= 0.5).sum().item()
        if won == 0 or own == 0 or won / own < overlap_threshold:
            continue
        if not ISTHING[label] and label in stuff:
            ids[mask] = stuff[label]
            continue
        number += 1
        if not ISTHING[label]:
            stuff[label] = number
        ids[mask] = number
        segments.append((number, label, ISTHING[label]))
    return ids, segments


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("thresholds", [(0.8, 0.8), (0.4, 0.5), (0.0, 0.0)])
@pytest.mark.parametrize("band", [1, 1 << 24])
def test_panoptic_inference_equals_the_loop(seed, thresholds, band, monkeypatch):
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", band)
    view, size = make_view(seed=seed, flip=seed % 2 == 1), (61, 80)
    ids, segments = loop(view, size, *thresholds)
    fuse = PanopticFusion(ISTHING, object_threshold=thresholds[0], overlap_threshold=thresholds[1])
    result = fuse(view, size)
    assert result.ids.dtype == torch.int32
    assert (result.ids != ids).sum() <= 1  # a tie that rounding decides
    found = [(s["id"], s["category_id"], s["isthing"]) for s in result.segments_info]
    assert found == segments
    for segment in result.segments_info:
        assert segment["area"] == (result.ids == segment["id"]).sum().item()


def flat_view(*queries):
    """Queries (class probabilities, rows) that cover whole rows of an 8x8 grid."""
    logits = torch.full((len(queries), 8, 8), -20.0)
    for q, (_, rows) in enumerate(queries):
        logits[q, rows] = 20.0
    return View(torch.tensor([p for p, _ in queries]), logits, (8, 8), (8, 8))


def test_hand_worked_segments():
    view = flat_view(
        ([0.9, 0.0, 0.0, 0.0, 0.1], slice(0, 2)),  # thing
        ([0.0, 0.95, 0.0, 0.0, 0.05], slice(2, 4)),  # stuff
        ([0.85, 0.0, 0.0, 0.0, 0.15], slice(4, 5)),  # another thing of the same class
        ([0.0, 0.85, 0.0, 0.0, 0.15], slice(5, 6)),  # the same stuff again: merged
        ([0.0, 0.0, 0.8, 0.0, 0.2], slice(6, 7)),  # not above the threshold
        ([0.0, 0.0, 0.1, 0.0, 0.9], slice(7, 8)),  # no object
        ([0.0, 0.0, 0.0, 0.81, 0.19], slice(0, 8)),  # wins 2 of 8 rows: dropped, stays void
    )
    result = PanopticFusion(ISTHING)(view, (8, 8))
    assert result.ids[:, 0].tolist() == [1, 1, 2, 2, 3, 2, 0, 0]
    assert (result.ids == result.ids[:, :1]).all()
    expected = [(1, 0, True, 16, 0.9), (2, 1, False, 24, 0.95), (3, 0, True, 8, 0.85)]
    for segment, (number, label, thing, area, score) in zip(
        result.segments_info, expected, strict=True
    ):
        assert segment["score"] == pytest.approx(score)
        values = {key: segment[key] for key in ("id", "category_id", "isthing", "area")}
        assert values == dict(id=number, category_id=label, isthing=thing, area=area)
    assert len(result.segments_info) == 3


def test_a_segment_gets_pixels_below_one_half():
    view = flat_view(([0.9, 0.0, 0.0, 0.0, 0.1], slice(0, 6)))
    result = PanopticFusion(ISTHING)(view, (8, 8))
    assert (result.ids == 1).all()
    assert result.segments_info[0]["area"] == 64


def test_nothing_found():
    view = flat_view(([0.5, 0.0, 0.0, 0.0, 0.5], slice(0, 8)))
    result = PanopticFusion(ISTHING)(view, (10, 12))
    assert result.ids.shape == (10, 12)
    assert not result.ids.any()
    assert result.segments_info == []


def test_instances_equal_the_definition(monkeypatch):
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", 3000)
    view, size = make_view(seed=3), (61, 80)
    full = F.interpolate(view.mask_logits[None], view.input_size, mode="bilinear")
    cut = full[..., : view.content_size[0], : view.content_size[1]]
    prob = F.interpolate(cut, size, mode="bilinear")[0].sigmoid()
    pairs = []
    for q in range(12):
        for label in (0, 2):
            pairs.append((view.class_prob[q, label].item(), q, label))
    best = sorted(pairs, reverse=True)[:7]
    expected = []
    for p, q, label in best:
        mask = prob[q] > 0.5
        expected.append((p * prob[q][mask].mean().item(), label, mask))
    expected.sort(key=lambda e: -e[0])
    result = InstanceFusion(ISTHING, max_per_image=7)(view, size)
    assert result.labels.tolist() == [label for _, label, _ in expected]
    assert result.scores.tolist() == pytest.approx([score for score, _, _ in expected], rel=1e-4)
    for mask, (_, _, wanted) in zip(result.masks, expected, strict=True):
        assert (mask != wanted).sum() <= 1


def test_instances_are_things_only_and_may_be_none():
    view = flat_view(([0.1, 0.9, 0.0, 0.0, 0.0], slice(0, 4)))
    result = InstanceFusion(ISTHING, score_threshold=0.05)(view, (8, 8))
    assert result.labels.tolist() == [0]
    assert result.masks[0, :, 0].tolist() == [True] * 4 + [False] * 4
    nothing = InstanceFusion(ISTHING, score_threshold=0.5)(view, (8, 8))
    assert nothing.masks.shape == (0, 8, 8)
    stuff = InstanceFusion([False] * 4)(view, (8, 8))
    assert len(stuff.labels) == 0


@pytest.mark.parametrize("strategy", [PanopticFusion, InstanceFusion])
def test_result_of_a_mirrored_view_is_mirrored_back(strategy):
    """On a grid without padding, whose content is mirrored as a whole."""
    view = make_view(seed=3)
    straight = View(view.class_prob, view.mask_logits, (48, 60), (48, 60))
    turned = View(view.class_prob, view.mask_logits.flip(-1), (48, 60), (48, 60), flip=True)
    expected, found = (vars(strategy(ISTHING)(v, (48, 60))) for v in (straight, turned))
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found[key], value)
        else:
            assert found[key] == value


@pytest.mark.parametrize("strategy", [PanopticFusion, InstanceFusion])
def test_number_of_classes_must_fit(strategy):
    with pytest.raises(ValueError, match="4 classes, but isthing is given for 3"):
        strategy([True] * 3)(make_view(), (8, 8))
