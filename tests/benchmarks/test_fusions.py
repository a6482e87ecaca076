"""What the benchmark of inference compares does the same work."""

import resource

import pytest
import torch

from benchmarks.kit import fusions, inference, measure
from mmmaskformer.core import PanopticFusion, fusion
from mmmaskformer.core.panoptic_fusion import PanopticResult

SIZES = inference.Sizes((64, 85), (96, 128), (75, 100), (80, 133), classes=12, queries=30)
LARGER = inference.Sizes((64, 96), (64, 96), (800, 1200), (64, 96), classes=150)
TURNS = inference.Turns(1, 0, "cpu")


def test_both_ways_to_labels_agree(monkeypatch):
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", 20000)
    view = fusions.large_view(SIZES, "cpu")
    assert view.content_size == (64, 85)
    assert view.input_size == (64, 96)
    assert view.mask_logits.shape == (30, 16, 24)
    maps = [way(view, SIZES.large) for way in fusions.LABEL_WAYS.values()]
    assert maps[0].shape == (75, 100)
    assert torch.equal(*maps)
    assert len(maps[0].unique()) > 3


def test_estimate_of_mmsegs_label_maps_by_hand():
    # 12 classes of 4 bytes at 64x85 and at 75x100, 8 bytes a label.
    expected = (12 * 4 * (64 * 85 + 75 * 100) + 8 * 75 * 100) / 2**20
    assert fusions.mmsegs_labels_mb(SIZES) == pytest.approx(expected)


@pytest.mark.parametrize("thresholds", [(0.8, 0.8), (0.0, 0.3)])
def test_the_loop_is_the_panoptic_fusion(thresholds):
    fuse = PanopticFusion(
        fusions.COCO_THINGS, object_threshold=thresholds[0], overlap_threshold=thresholds[1]
    )
    # 60 confident queries, of which a few lose too much.
    view = fusions.blobs(100, 133, SIZES.panoptic, 0.6, "cpu")
    ours, theirs = fuse(view, SIZES.panoptic), fusions.panoptic_loop(view, SIZES.panoptic, fuse)
    fusions.check_same(ours, theirs)
    assert len(ours.segments_info) > 30
    for mine, its in zip(ours.segments_info, theirs.segments_info, strict=True):
        assert abs(mine["area"] - its["area"]) <= 1  # a tie that rounding decides
        assert mine["score"] == pytest.approx(its["score"])


def test_stuff_is_merged_in_the_loop():
    fuse = PanopticFusion([True, False], overlap_threshold=0.0)
    view = fusions.blobs(20, 2, (64, 96), 1.0, "cpu")
    result = fusions.panoptic_loop(view, (64, 96), fuse)
    assert [s["category_id"] for s in result.segments_info].count(1) == 1
    assert [s["category_id"] for s in result.segments_info].count(0) > 1
    fusions.check_same(fuse(view, (64, 96)), result)


def test_nothing_confident_in_the_loop():
    fuse = PanopticFusion(fusions.COCO_THINGS)
    result = fusions.panoptic_loop(fusions.blobs(5, 133, (64, 96), 0.0, "cpu"), (64, 96), fuse)
    assert not result.ids.any()
    assert result.segments_info == []


def test_results_that_differ_are_refused():
    fuse = PanopticFusion(fusions.COCO_THINGS)
    view = fusions.blobs(30, 133, (64, 96), 0.5, "cpu")
    result = fuse(view, (64, 96))
    moved = PanopticResult(result.ids.roll(1, 0), result.segments_info)
    with pytest.raises(ValueError, match=r"disagree: (\d+) and \1 segments, .* % of the pixels"):
        fusions.check_same(result, moved)
    fewer = PanopticResult(result.ids, result.segments_info[1:])
    with pytest.raises(ValueError, match="disagree"):
        fusions.check_same(result, fewer)


def test_ways_that_do_not_fit_are_not_timed(monkeypatch):
    timed = []

    def fresh(function, *args):
        if function is fusions.labels_peak_mb:
            if args[0] == "argmax of score maps":
                raise MemoryError
            return 7.0
        timed.extend(args[0])
        return dict.fromkeys(args[0], 0.5)

    monkeypatch.setattr(fusions, "in_fresh_process", fresh)
    found = fusions.label_maps(SIZES, TURNS)
    assert timed == ["labels in bands"]
    assert found["labels in bands"] == {"inference_memory_mb": 7.0, "latency_s": 0.5}
    assert found["argmax of score maps"] == {}
    assert list(found["mmseg's way (estimate)"]) == ["inference_memory_mb"]


def peaks():
    return [
        measure.in_fresh_process(fusions.labels_peak_mb, w, LARGER, "cpu")
        for w in fusions.LABEL_WAYS
    ]


def starved():
    """Labels of score maps of 550 MB with 200 MB left."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)

    def limit(device):
        left = (int(measure.resident_mb("VmData")) + 200) << 20
        resource.setrlimit(resource.RLIMIT_DATA, (left, hard))

    fusions.limit_memory = limit
    return fusions.labels_peak_mb("argmax of score maps", LARGER, "cpu")


def starved_clock():
    """As `starved`, where the memory was there when it was measured, but not for the clock."""
    with pytest.raises(MemoryError):
        starved()  # sets the limit, which stays
    return fusions.labels_seconds(list(fusions.LABEL_WAYS), LARGER, TURNS)


@pytest.mark.usefixtures("warm")
def test_ways_that_no_longer_fit_are_left_out():
    assert list(measure.in_fresh_process(starved_clock)) == ["labels in bands"]


@pytest.mark.usefixtures("warm")
def test_score_maps_that_do_not_fit():
    with pytest.raises(MemoryError, match=r"^argmax of score maps: .*allocate memory"):
        measure.in_fresh_process(starved)


@pytest.mark.usefixtures("warm")
def test_bands_take_less_memory_than_score_maps():
    bands, maps = peaks()
    scores = 150 * 800 * 1200 * 4 / 2**20
    assert maps > scores
    assert bands < scores / 2


def test_estimate_and_scales_of_views(monkeypatch):
    from benchmarks.kit import models
    from tests.conftest import ROOT

    config = str(ROOT / "configs/maskformer_r18_shapes.py")
    asked = []
    monkeypatch.setattr(
        inference, "in_fresh_process", lambda function, *args: asked.append(args[1]) or 5.0
    )
    found = inference.augmented(config, SIZES, "cpu")
    assert asked == [(1.0,), (1.75,), (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
    assert list(found)[2] == "12 views"
    assert models.smallest_num_classes(models.load_config(config)) == 10
    estimate = found["mmseg's way, score maps alone (estimate)"]["inference_memory_mb"]
    assert estimate == pytest.approx(12 * 10 * 96 * 128 * 4 / 2**20)
