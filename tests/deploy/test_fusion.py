"""Inference in numpy against the inference in torch."""

import numpy as np
import pytest
import torch

from mmmaskformer.core import GeneralFusion, PanopticFusion, SemanticFusion, View
from mmmaskformer.deploy import fusion
from mmmaskformer.deploy.fusion import (
    Factors,
    panoptic_segments,
    read_factors,
    resize_rows,
    semantic_labels,
    sigmoid,
    source_span,
)

CASES = [
    # input size, image in it, output size
    ((64, 96), (64, 96), (64, 96)),
    ((64, 96), (50, 77), (50, 77)),
    ((64, 96), (50, 77), (131, 203)),
    ((64, 96), (60, 90), (21, 33)),
    ((64, 96), (64, 90), (64, 200)),
]
QUERIES, CLASSES = 12, 5


def outputs(seed=0, scale=6):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(QUERIES, CLASSES + 1, generator=generator) * 3
    return logits, torch.randn(QUERIES, 16, 24, generator=generator) * scale


@pytest.fixture(params=CASES, ids=str)
def case(request, monkeypatch):
    """The factors for numpy, the view for torch, and the size of the result; in many bands."""
    monkeypatch.setattr(fusion, "BAND_ELEMENTS", 20_000)
    logits, masks = outputs()
    size, content, out = request.param
    factors = read_factors(logits.numpy(), masks.numpy(), size, content)
    assert len(list(fusion.row_bands(factors, out))) > 3
    return factors, View(logits.softmax(-1), masks, size, content), out


def share(one, other):
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    return (one == other).mean()


@pytest.mark.parametrize("resize_logits", [False, True])
def test_semantic_labels(case, resize_logits):
    factors, view, size = case
    rule = {"type": "SemanticFusion", "resize_logits": resize_logits}
    wanted = SemanticFusion(resize_logits=resize_logits).labels([view], size).numpy()
    assert len(np.unique(wanted)) > 3
    assert share(semantic_labels(factors, size, rule), wanted) > 0.9995


def test_the_two_ways_to_resize_differ(case):
    factors, _, size = case
    rules = ({"type": "SemanticFusion", "resize_logits": flag} for flag in (False, True))
    one, other = (semantic_labels(factors, size, rule) for rule in rules)
    assert (one == other).all() == (size == factors.content_size)


@pytest.mark.parametrize("threshold", [0.3, 0.9, 1.0])
def test_general_labels(case, threshold):
    factors, view, size = case
    rule = {"type": "GeneralFusion", "object_threshold": threshold}
    wanted = GeneralFusion(object_threshold=threshold).labels([view], size).numpy()
    assert share(semantic_labels(factors, size, rule), wanted) > 0.9995


@pytest.mark.parametrize("thresholds", [(0.3, 0.1), (0.5, 0.2), (0.99, 0.1), (1.0, 0.0)])
def test_panoptic_segments(case, thresholds):
    factors, view, size = case
    names = dict(zip(("object_threshold", "overlap_threshold"), thresholds, strict=True))
    isthing = [True, False, True, False, False]
    ids, segments = panoptic_segments(factors, size, isthing, **names)
    wanted = PanopticFusion(isthing, **names)(view, size)
    assert share(ids, wanted.ids.numpy()) > 0.9995
    assert len(segments) == len(wanted.segments_info)
    assert (len(segments) > 1) == (thresholds[0] < 0.9)
    for one, other in zip(segments, wanted.segments_info, strict=True):
        assert one["area"] == pytest.approx(other["area"], abs=size[0] * size[1] * 5e-4)
        assert one["area"] == (ids == one["id"]).sum()
        assert one["score"] == pytest.approx(other["score"], rel=1e-5)
        assert [one[key] for key in ("id", "category_id", "isthing")] == [
            other[key] for key in ("id", "category_id", "isthing")
        ]


def test_stuff_is_merged_and_things_are_not():
    logits = np.full((4, 3), -9, np.float32)
    logits[[0, 1, 2, 3], [0, 1, 0, 1]] = 9
    masks = np.full((4, 2, 8), -9, np.float32)
    for query in range(4):
        masks[query, :, 2 * query : 2 * query + 2] = 9
    factors = read_factors(logits, masks, (2, 8), (2, 8))
    thresholds = dict(object_threshold=0.5, overlap_threshold=0.5)
    ids, segments = panoptic_segments(factors, (2, 8), [True, False], **thresholds)
    assert ids.tolist() == [[1, 1, 2, 2, 3, 3, 2, 2]] * 2
    assert [(s["id"], s["category_id"], s["area"]) for s in segments] == [
        (1, 0, 4),
        (2, 1, 8),
        (3, 0, 4),
    ]


@pytest.mark.parametrize("size", [(7, 9), (28, 36), (31, 9), (7, 40), (3, 4), (1, 1)])
def test_rows_of_a_resize_are_those_of_torch(size):
    maps = torch.randn(3, 7, 9)
    wanted = torch.nn.functional.interpolate(maps[None], size=size, mode="bilinear")[0]
    last = maps.permute(1, 2, 0).numpy()
    for start in range(0, size[0], 5):
        rows = slice(start, min(start + 5, size[0]))
        span = source_span(7, size[0], rows)
        found = resize_rows(last[span].copy(), span.start, (7, 9), size, rows)
        np.testing.assert_allclose(
            found, wanted[:, rows].permute(1, 2, 0).numpy(), atol=2e-6, rtol=1e-5
        )


def test_large_logits_have_probabilities():
    assert sigmoid(np.float32([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(which, value):
    parts = [part.numpy() for part in outputs()]
    parts[which].flat[3] = value
    with pytest.raises(ValueError, match="scores are NaN or infinite"):
        read_factors(*parts, (64, 96), (64, 96))


def test_the_networks_outputs_are_not_written_to():
    parts = [part.numpy() for part in outputs()]
    kept = [part.copy() for part in parts]
    factors = read_factors(*parts, (64, 96), (64, 96))
    assert isinstance(factors, Factors)
    before = factors.mask_logits.copy()
    for size in ((16, 24), (64, 96), (100, 96)):
        semantic_labels(factors, size, {"type": "SemanticFusion", "resize_logits": True})
    np.testing.assert_array_equal(factors.mask_logits, before)
    for one, other in zip(parts, kept, strict=True):
        np.testing.assert_array_equal(one, other)
