"""Pixel-wise inference of slots that compete."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.baselines.slot_fusion import (
    GridView,
    SlotFusion,
    SlotPanopticFusion,
    slot_logits,
)
from mmmaskformer.core import fusion as core_fusion
from mmmaskformer.core.views import View

ISTHING = tuple(c in (1, 2, 4) for c in range(7))
CHANNELS = [1, 2, 4, 0, 3, 5, 6]
SETTINGS = {
    "default": dict(thing_area=100, stuff_area=300),
    "keep": dict(thing_area=0, stuff_area=0),
    "strict": dict(thing_area=0, stuff_area=0, pixel_threshold=0.8, object_threshold=0.95),
}


@pytest.mark.data
@pytest.mark.parametrize("setting", SETTINGS)
def test_segments_are_the_published_implementation_s(shared, setting, monkeypatch):
    """Pixel by pixel, in bands of a few rows."""
    monkeypatch.setitem(core_fusion.BAND_ELEMENTS, "cpu", 10_000)
    made = np.load(shared / "baselines" / "reference" / "max_post.npz")
    order = [CHANNELS.index(c) for c in range(7)] + [7]
    prob = torch.from_numpy(made["class_logits"][0]).softmax(1)[:, order]
    masks = torch.from_numpy(made["mask_logits"][0, 0]).permute(2, 0, 1)
    view = GridView(prob, masks, (65, 65), (65, 65))
    found = SlotPanopticFusion(ISTHING, **SETTINGS[setting])(view, (65, 65))
    wanted = torch.from_numpy(made[f"panoptic_{setting}"])
    classes = torch.tensor([255, *(s["category_id"] for s in found.segments_info)])
    assert torch.equal(classes[found.ids.long()], wanted // 1000)
    pairs = set(zip(found.ids.flatten().tolist(), wanted.flatten().tolist(), strict=True))
    assert len(pairs) == len(found.segments_info) + 1 == len(wanted.unique())
    for segment in found.segments_info:
        assert segment["area"] == (found.ids == segment["id"]).sum()
        assert segment["isthing"] == ISTHING[segment["category_id"]]
        assert 0.7 <= segment["score"] <= 1


def make_view(slots=9, grid=(5, 6), content=(19, 22), flip=False, kind=GridView, seed=0):
    rng = torch.Generator().manual_seed(seed)
    prob = (4 * torch.randn(slots, 8, generator=rng)).softmax(1)
    masks = 3 * torch.randn(slots, *grid, generator=rng)
    return kind(prob, masks, (4 * grid[0] - 1, 4 * grid[1]), content, flip)


@pytest.mark.parametrize("flip", [False, True])
def test_cells_lie_at_every_fourth_pixel(flip):
    """Two resizes of a ramp: cell i is at pixel 4 i, and the last one is repeated."""
    view = make_view(flip=flip)
    full = F.interpolate(view.mask_logits[None], size=(17, 21), mode="bilinear", align_corners=True)
    full = F.pad(full, (0, 3, 0, 3), mode="replicate")[..., :19, :22]
    full = full.flip(-1) if flip else full
    torch.testing.assert_close(
        full[0, :, ::4, :21:4] if not flip else full[0, :, ::4, 1::4].flip(-1), view.mask_logits
    )
    wanted = F.interpolate(full, size=(31, 27), mode="bilinear", align_corners=False)[0]
    for rows in (slice(0, 31), slice(7, 12)):
        found = slot_logits(view, (31, 27), rows)
        torch.testing.assert_close(found, wanted[:, rows], rtol=1e-4, atol=1e-5)


def test_other_views_are_resized_as_everywhere():
    view = make_view(kind=View)
    found = slot_logits(view, (19, 22), slice(3, 9))
    full = F.interpolate(view.mask_logits[None], size=(19, 24), mode="bilinear")[0]
    torch.testing.assert_close(found, full[:, 3:9, :22], rtol=1e-4, atol=1e-5)


def slow(fusion, view, logits):
    """The definition, pixel by pixel: slots of the pixels, None where there is none."""
    prob = view.class_prob[:, :-1]
    sure = [q for q in range(len(prob)) if prob[q].max() >= fusion.object_threshold]
    owner = {}
    for y, x in np.ndindex(*logits.shape[1:]):
        pixel = logits[:, y, x]
        owner[y, x] = None
        if sure and int(pixel.argmax()) in sure:
            best = int(pixel.argmax())
            if pixel[sure].softmax(0).max() > fusion.pixel_threshold:
                owner[y, x] = best
    return owner, prob.argmax(1).tolist()


@pytest.mark.parametrize("elements", [50, 1 << 20])
def test_segments_follow_the_definition(elements, monkeypatch):
    monkeypatch.setitem(core_fusion.BAND_ELEMENTS, "cpu", elements)
    view, size = make_view(slots=14, grid=(6, 6), content=(23, 24)), (20, 25)
    fusion = SlotPanopticFusion(ISTHING, object_threshold=0.6, thing_area=12, stuff_area=40)
    found = fusion(view, size)
    owner, labels = slow(fusion, view, slot_logits(view, size, slice(0, 20)))
    groups = {}
    for place, slot in owner.items():
        if slot is not None:
            key = (labels[slot], slot if ISTHING[labels[slot]] else None)
            groups.setdefault(key, []).append(place)
    kept = {k: v for k, v in groups.items() if len(v) >= (40 if k[1] is None else 12)}
    assert 2 < len(kept) < len(groups)
    numbers = {s["id"]: (s["category_id"], s["area"]) for s in found.segments_info}
    for key, places in kept.items():
        (number,) = {int(found.ids[place]) for place in places}
        assert numbers.pop(number) == (key[0], len(places))
    assert not numbers
    assert (found.ids > 0).sum() == sum(map(len, kept.values()))


def test_slots_of_a_stuff_class_are_one_segment_and_of_a_thing_two():
    prob = torch.zeros(4, 8)
    prob[[0, 1], 1] = prob[[2, 3], 5] = 0.9
    masks = torch.full((4, 2, 2), -5.0)
    masks[[0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1]] = 5.0
    view = View(prob, masks, (8, 8), (8, 8))
    found = SlotPanopticFusion(ISTHING, thing_area=1, stuff_area=1)(view, (2, 2))
    assert found.ids.tolist() == [[1, 2], [3, 3]]
    assert [s["category_id"] for s in found.segments_info] == [1, 1, 5]


@pytest.mark.parametrize("threshold", [1.0, 0.0])
def test_nobody_is_sure_or_everybody(threshold):
    view = make_view()
    found = SlotPanopticFusion(
        ISTHING, object_threshold=threshold, pixel_threshold=0, thing_area=0, stuff_area=0
    )(view, (19, 22))
    if threshold == 1:
        assert found.segments_info == []
        assert not found.ids.any()
    else:
        assert (found.ids > 0).all()


def test_scores_are_products_summed_over_slots():
    views = [make_view(seed=seed) for seed in range(2)]
    size = (19, 22)
    scores = SlotFusion().scores(views, size)
    wanted = sum(
        torch.einsum(
            "qc,qhw->chw", v.class_prob[:, :-1], slot_logits(v, size, slice(19)).softmax(0)
        )
        for v in views
    )
    torch.testing.assert_close(scores, wanted / 2, rtol=1e-4, atol=1e-5)


def test_autocast_changes_nothing():
    view, size = make_view(), (19, 22)
    scores, result = SlotFusion().scores([view], size), SlotPanopticFusion(ISTHING)(view, size)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SlotFusion().scores([view], size), scores)
        assert torch.equal(SlotPanopticFusion(ISTHING)(view, size).ids, result.ids)


def test_wrong_input():
    with pytest.raises(ValueError, match="the model has 7 classes, but isthing is given for 2"):
        SlotPanopticFusion((True, False))(make_view(), (19, 22))
    with pytest.raises(ValueError, match=r"pixel_threshold must be in \[0, 1\], got 2"):
        SlotPanopticFusion(ISTHING, pixel_threshold=2)
    view = make_view()
    view.mask_logits[0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="scores are NaN or infinite"):
        SlotPanopticFusion(ISTHING)(view, (19, 22))
