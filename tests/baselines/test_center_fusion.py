"""Panoptic inference from centres and offsets."""

import numpy as np
import pytest
import torch

from mmmaskformer.baselines import center_fusion
from mmmaskformer.baselines.center_fusion import (
    CenterView,
    PanopticDeepLabFusion,
    PixelProbabilityFusion,
    center_maps,
)

ISTHING = (True, True, True, False, False, False)
SETTINGS = {
    "cityscapes": dict(),
    "coco": dict(kernel=41, stuff_area=4096),
    "keepall": dict(stuff_area=0),
    "top3": dict(kernel=3, most_centers=3, stuff_area=0),
    "thr5": dict(center_threshold=0.5, stuff_area=0),
    "none": dict(center_threshold=2.0, stuff_area=0),
}


def partition(ids, classes):
    """Its segments: sets of (class, pixels), whatever their numbers."""
    return {
        (classes[k], np.flatnonzero(ids == k).tobytes()) for k in np.unique(ids) if k in classes
    }


@pytest.mark.data
@pytest.mark.parametrize("setting", SETTINGS)
def test_segments_are_the_published_implementation_s(shared, setting):
    made = np.load(shared / "baselines" / "reference" / "pdl_post.npz")
    logits, heat, offset = (torch.from_numpy(made[k]) for k in ("logits", "heat", "offset"))
    fusion = PanopticDeepLabFusion(ISTHING, **SETTINGS[setting])
    centers = fusion.find_centers(heat)
    assert centers.tolist() == made[f"centers_{setting}"].tolist()
    found = fusion.segments(logits.argmax(0), torch.cat([heat[None], offset]), centers)
    expected = made[f"panoptic_{setting}"]
    classes = {int(v): int(v) // 1000 for v in np.unique(expected) if v >= 0}
    ours = {s["id"]: s["category_id"] for s in found.segments_info}
    assert partition(found.ids.numpy(), ours) == partition(expected, classes)
    for segment in found.segments_info:
        assert segment["area"] == (found.ids == segment["id"]).sum()
        assert segment["isthing"] == ISTHING[segment["category_id"]]


def slow(fusion, classes, heat, offset):
    """The definition, pixel by pixel: a map of (class, owner), or None."""
    height, width = heat.shape
    reach = fusion.kernel // 2
    peaks = []
    for y, x in np.ndindex(height, width):
        near = heat[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        if heat[y, x] > fusion.center_threshold and heat[y, x] == near.max():
            peaks.append((y, x))
    owner = {}
    for y, x in np.ndindex(height, width):
        label = int(classes[y, x])
        if not fusion.isthing[label]:
            owner[y, x] = (
                (label, "stuff") if (classes == label).sum() >= fusion.stuff_area else None
            )
            continue
        dy, dx = offset[:, y, x].tolist()
        away = [(y + dy - cy) ** 2 + (x + dx - cx) ** 2 for cy, cx in peaks]
        owner[y, x] = away.index(min(away)) if peaks else None
    for k in range(len(peaks)):
        pixels = [p for p, one in owner.items() if one == k]
        labels = [int(classes[p]) for p in pixels]
        for p in pixels:
            owner[p] = (max(sorted(set(labels)), key=labels.count), peaks[k])
    return owner


@pytest.mark.parametrize("elements", [7, 1 << 20])
def test_segments_follow_the_definition(elements, monkeypatch):
    monkeypatch.setitem(center_fusion.BAND_ELEMENTS, "cpu", elements)
    rng = torch.Generator().manual_seed(3)
    classes = torch.randint(0, 6, (14, 17), generator=rng)
    heat = torch.rand(14, 17, generator=rng)
    offset = 4 * torch.randn(2, 14, 17, generator=rng)
    fusion = PanopticDeepLabFusion(ISTHING, kernel=5, stuff_area=40)
    found = fusion.segments(classes, torch.cat([heat[None], offset]), fusion.find_centers(heat))
    expected = slow(fusion, classes, heat, offset)
    labels = {s["id"]: s["category_id"] for s in found.segments_info}
    pairs = set()
    for place, owner in expected.items():
        number = int(found.ids[place])
        assert (number == 0) == (owner is None)
        if number:
            assert labels[number] == owner[0]
            pairs.add((number, owner))
    assert len(pairs) == len({n for n, _ in pairs}) == len({o for _, o in pairs}) == len(labels)
    assert any(owner is None for owner in expected.values())


def view_of(logits, centers, content=None, flip=False):
    height, width = (4 * edge for edge in logits.shape[1:])
    return CenterView(logits, (height, width), content or (height, width), flip, centers)


def test_offsets_are_scaled_for_each_axis_and_mirrored():
    maps = torch.ones(3, 4, 6)
    maps[2] = 3
    (heat, down, right) = center_maps(view_of(torch.zeros(6, 4, 6), maps, (12, 20)), (30, 10))
    assert heat.unique().tolist() == [1]
    torch.testing.assert_close(down, torch.full((30, 10), 30 / 12))
    torch.testing.assert_close(right, torch.full((30, 10), 3 * 10 / 20))
    mirrored = center_maps(view_of(torch.zeros(6, 4, 6), maps, flip=True), (16, 24))
    torch.testing.assert_close(mirrored[2], torch.full((16, 24), -3.0))


def test_a_mirrored_view_adds_nothing_new():
    rng = torch.Generator().manual_seed(1)
    logits, centers = (torch.randn(n, 8, 10, generator=rng) for n in (6, 3))
    fusion = PanopticDeepLabFusion(ISTHING, stuff_area=20)
    turned = centers.flip(-1) * torch.tensor([1, 1, -1])[:, None, None]
    views = [view_of(logits, centers), view_of(logits.flip(-1), turned, flip=True)]
    alone, both = fusion(views[:1], (32, 40)), fusion(views, (32, 40))
    assert torch.equal(alone.ids, both.ids)
    assert len(alone.segments_info) > 3


def test_views_are_averaged_as_probabilities():
    rng = torch.Generator().manual_seed(2)
    logits = 5 * torch.randn(2, 6, 8, 10, generator=rng)
    scores = PixelProbabilityFusion().scores([view_of(one, one[:3]) for one in logits], (32, 40))
    full = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(scores, full.softmax(1).mean(0))


def test_things_only_or_stuff_only():
    classes = torch.arange(6).repeat(8, 2)
    maps = torch.zeros(3, 8, 12)
    maps[0, 4, 4] = 1
    for flags in ((True,) * 6, (False,) * 6):
        fusion = PanopticDeepLabFusion(flags, stuff_area=0)
        found = fusion.segments(classes, maps, fusion.find_centers(maps[0]))
        assert len(found.segments_info) == (1 if flags[0] else 6)
        assert (found.ids > 0).all()


def test_equal_neighbours_are_both_centres_and_the_rank_is_strict():
    heat = torch.zeros(9, 9)
    heat[1, 1] = heat[1, 2] = 0.9
    heat[6, 6] = 0.5
    assert len(PanopticDeepLabFusion(ISTHING).find_centers(heat)) == 3
    assert len(PanopticDeepLabFusion(ISTHING, most_centers=3).find_centers(heat)) == 2


def test_images_with_fewer_pixels_than_centres_lose_none():
    fusion = PanopticDeepLabFusion(ISTHING, kernel=1, most_centers=5)
    assert len(fusion.find_centers(torch.full((1, 1), 0.9))) == 1
    assert len(fusion.find_centers(torch.tensor([[0.4, 0.3], [0.2, 0.05]]))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kernel=4), "kernel must be odd, got 4"),
        (dict(most_centers=0), "most_centers must be at least 1, got 0"),
        (dict(isthing=[2]), "isthing must be True or False"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        PanopticDeepLabFusion(**{"isthing": ISTHING, **options})


def test_flags_for_other_classes():
    view = view_of(torch.zeros(4, 4, 4), torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="4 classes, but isthing is given for 6"):
        PanopticDeepLabFusion(ISTHING)([view], (16, 16))
