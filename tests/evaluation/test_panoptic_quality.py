"""Every rule of the official evaluation on its own, errors, and a slow oracle."""

import json

import numpy as np
import pytest

from mmmaskformer.evaluation import PanopticQuality

CATEGORIES = [
    {"id": 1, "name": "cat", "isthing": 1},
    {"id": 4, "name": "dog", "isthing": 1},
    {"id": 9, "name": "sky", "isthing": 0},
]
IOU, TP, FP, FN = range(4)


def row_of(*runs):
    """A map of one row from (id, pixels) runs."""
    return np.concatenate([np.full(count, segment, np.uint32) for segment, count in runs])[None]


def truth(ids, *segments):
    """Segments (id, category_id[, iscrowd[, area]]); the area is the map's by default."""
    return [
        {
            "id": segment,
            "category_id": category,
            "iscrowd": (*rest, 0)[0],
            "area": rest[1] if len(rest) > 1 else int((ids == segment).sum()),
        }
        for segment, category, *rest in segments
    ]


def guess(*segments):
    return [{"id": segment, "category_id": category} for segment, category in segments]


def counts(gt, gt_segments, pred, pred_segments):
    """{category: (iou, tp, fp, fn)} of one image."""
    quality = PanopticQuality(CATEGORIES)
    image = quality.update(gt, truth(gt, *gt_segments), pred, guess(*pred_segments))
    np.testing.assert_array_equal(image, quality.counts)
    return {
        c["id"]: tuple(r)
        for c, r in zip(CATEGORIES, quality.counts.tolist(), strict=True)
        if any(r)
    }


@pytest.mark.parametrize(
    ("common", "expected"),
    [(49, (0, 0, 1, 1)), (50, (0, 0, 1, 1)), (51, (51 / 99, 1, 0, 0))],
)
def test_match_needs_more_than_half(common, expected):
    """Segment and prediction have 75 pixels each; with 50 in common IoU is 50 / 100."""
    gt = row_of((5, 75), (6, 100))
    pred = row_of((0, 75 - common), (8, 75), (0, 25 + common))
    found = counts(gt, [(5, 1), (6, 9)], pred, [(8, 1)])
    assert found == {1: expected, 9: (0, 0, 0, 1)}


def test_other_class_is_no_match():
    gt = row_of((5, 10))
    assert counts(gt, [(5, 1)], gt, [(5, 4)]) == {1: (0, 0, 0, 1), 4: (0, 0, 1, 0)}


def test_union_leaves_out_the_prediction_on_void():
    gt, pred = row_of((5, 10), (0, 30)), row_of((8, 40))
    assert counts(gt, [(5, 1)], pred, [(8, 1)]) == {1: (1.0, 1, 0, 0)}


def test_true_area_comes_from_the_json_and_predicted_area_from_the_map():
    gt, pred = row_of((5, 10), (6, 10)), row_of((8, 10), (9, 10))
    segments = [(5, 1, 0, 16), (6, 4, 0, 20)]
    # 10 of 16, and exactly 10 of 20.
    assert counts(gt, segments, pred, [(8, 1), (9, 4)]) == {
        1: (0.625, 1, 0, 0),
        4: (0, 0, 1, 1),
    }
    quality = PanopticQuality(CATEGORIES)
    lying = [{"id": 8, "category_id": 1, "area": 999}, {"id": 9, "category_id": 4, "area": 1}]
    quality.update(gt, truth(gt, (5, 1), (6, 4)), pred, lying)
    assert quality.counts[:, TP].tolist() == [1, 1, 0]


@pytest.mark.parametrize(("void", "fp"), [(20, 1), (21, 0), (19, 1)])
def test_false_positive_is_forgiven_when_more_than_half_is_void(void, fp):
    gt, pred = row_of((5, 100 - void), (0, void)), row_of((8, 60), (7, 40))
    found = counts(gt, [(5, 9)], pred, [(8, 9), (7, 1)])
    assert found.get(1, (0, 0, 0, 0)) == (0, 0, fp, 0)
    assert found[9] == (60 / (100 - void), 1, 0, 0)


@pytest.mark.parametrize(
    ("crowd_class", "crowd", "void", "fp"),
    [
        (1, 21, 0, 0),  # crowd of its class
        (1, 20, 0, 1),  # exactly half
        (1, 10, 11, 0),  # only together
        (1, 10, 10, 1),
        (4, 40, 0, 1),  # crowd of another class
        (4, 19, 21, 0),
    ],
)
def test_crowd_and_void_together_forgive(crowd_class, crowd, void, fp):
    gt = row_of((3, crowd), (0, void), (5, 40 - crowd - void), (5, 200))
    pred = row_of((7, 40), (8, 200))
    found = counts(gt, [(3, crowd_class, 1), (5, 9)], pred, [(7, 1), (8, 9)])
    assert found.get(1, (0, 0, 0, 0)) == (0, 0, fp, 0)


@pytest.mark.parametrize(("order", "fp"), [((2, 3), 0), ((3, 2), 1)])
def test_of_several_crowds_the_last_listed_counts(order, fp):
    gt, pred = row_of((2, 50), (3, 50)), row_of((0, 40), (7, 60))  # 10 on crowd 2, 50 on crowd 3
    found = counts(gt, [(segment, 1, 1) for segment in order], pred, [(7, 1)])
    assert found.get(1, (0, 0, 0, 0)) == (0, 0, fp, 0)


def test_each_class_has_its_own_crowd():
    gt = row_of((2, 50), (3, 50))
    pred = row_of((7, 50), (8, 50))
    assert counts(gt, [(2, 1, 1), (3, 4, 1)], pred, [(7, 1), (8, 4)]) == {}
    found = counts(gt, [(2, 1, 1), (3, 4, 1)], pred, [(7, 4), (8, 1)])
    assert found == {1: (0, 0, 1, 0), 4: (0, 0, 1, 0)}


def test_crowd_is_neither_matched_nor_missed():
    gt = row_of((5, 10), (6, 30))
    assert counts(gt, [(5, 1, 1), (6, 9)], gt, [(5, 1), (6, 9)]) == {9: (1.0, 1, 0, 0)}
    pred = row_of((0, 10), (6, 30))
    assert counts(gt, [(5, 1, 1), (6, 9)], pred, [(6, 9)]) == {9: (1.0, 1, 0, 0)}


def test_true_ids_that_the_json_lacks_are_neither_void_nor_segment():
    gt = row_of((5, 10), (77, 8), (78, 30))
    pred = row_of((8, 18), (9, 30))
    # Void would give 1.0 and forgive segment 9.
    assert counts(gt, [(5, 1)], pred, [(8, 1), (9, 4)]) == {
        1: (10 / 18, 1, 0, 0),
        4: (0, 0, 1, 0),
    }


def test_true_segment_without_pixels_is_missed():
    gt = row_of((5, 10))
    assert counts(gt, [(5, 1), (6, 4, 0, 3)], gt, [(5, 1)]) == {
        1: (1.0, 1, 0, 0),
        4: (0, 0, 0, 1),
    }


def test_image_without_segments():
    empty = row_of((0, 10))
    full = row_of((5, 10))
    assert counts(empty, [], empty, []) == {}
    assert counts(empty, [], full, [(5, 1)]) == {}  # all on void
    assert counts(full, [(5, 1)], empty, []) == {1: (0, 0, 0, 1)}


def test_means_are_over_classes_that_occur_on_either_side():
    """One perfect class, one only predicted, one only in the ground truth, one that never was."""
    quality = PanopticQuality([*CATEGORIES, {"id": 20, "name": "sea", "isthing": 0}])
    gt, pred = row_of((1, 60), (2, 40)), row_of((1, 60), (2, 40))
    quality.update(gt, truth(gt, (1, 9), (2, 4)), pred, guess((1, 9), (2, 1)))
    result = quality.compute()
    assert result["All"] == {"pq": 1 / 3, "sq": 1 / 3, "rq": 1 / 3, "n": 3}
    assert result["Things"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 2}
    assert result["Stuff"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 1}
    names = ("pq", "sq", "rq", "iou", "tp", "fp", "fn")
    assert result["per_class"] == {
        1: dict(zip(names, (0.0, 0.0, 0.0, 0.0, 0, 1, 0), strict=True)),
        4: dict(zip(names, (0.0, 0.0, 0.0, 0.0, 0, 0, 1), strict=True)),
        9: dict(zip(names, (1.0, 1.0, 1.0, 1.0, 1, 0, 0), strict=True)),
        20: dict(zip(names, (0.0, 0.0, 0.0, 0.0, 0, 0, 0), strict=True)),
    }


def test_scores_of_a_class_by_hand():
    """IoU 0.8 and 0.6, one false positive, two missed: SQ 0.7, RQ 2 / (2 + 0.5 + 1)."""
    quality = PanopticQuality(CATEGORIES)
    quality.counts[0] = 1.4, 2, 1, 2
    scores = quality.compute()["per_class"][1]
    assert scores["sq"] == pytest.approx(0.7)
    assert scores["rq"] == pytest.approx(2 / 3.5)
    assert scores["pq"] == pytest.approx(1.4 / 3.5)


@pytest.mark.parametrize("categories", [CATEGORIES, []])
def test_nothing_seen_is_not_available(categories):
    result = PanopticQuality(categories).compute()
    for group in ("All", "Things", "Stuff"):
        assert result[group] == {"pq": None, "sq": None, "rq": None, "n": 0}
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_map_types_and_memory_layout(dtype):
    gt = np.array([[1, 1, 2], [1, 3, 2], [0, 3, 3]], dtype)
    segments = truth(gt, (3, 1), (1, 9), (2, 4))
    pred = np.asfortranarray(gt + np.array(10, dtype) * (gt > 0))
    quality = PanopticQuality(CATEGORIES)
    quality.update(gt, segments, pred, guess((12, 4), (13, 1), (11, 9)))
    assert quality.counts.tolist() == [[1, 1, 0, 0]] * 3


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_ids_that_a_float_can_not_hold(dtype):
    gt = np.array([[2**60, 2**60, 2**60 + 1, 2**60 + 1]], dtype)
    found = counts(gt, [(2**60, 1), (2**60 + 1, 9)], gt, [(2**60, 1), (2**60 + 1, 9)])
    assert found == {1: (1, 1, 0, 0), 9: (1, 1, 0, 0)}
    with pytest.raises(ValueError, match=rf"ids \[{2**60 + 1}\] are in the map"):
        counts(gt, [(2**60, 1)], gt, [(2**60, 1)])


def test_arguments_are_not_written_to():
    gt = row_of((5, 10), (0, 4))
    segments, predicted = truth(gt, (5, 1)), guess((5, 1), (8, 4))
    pred = row_of((5, 10), (8, 4))
    before = [gt.copy(), json.dumps(segments), pred.copy(), json.dumps(predicted)]
    PanopticQuality(CATEGORIES).update(gt, segments, pred, predicted)
    assert before[1::2] == [json.dumps(segments), json.dumps(predicted)]
    np.testing.assert_array_equal(gt, before[0])
    np.testing.assert_array_equal(pred, before[2])


GT = row_of((5, 10), (0, 5))
GOOD = truth(GT, (5, 1))


@pytest.mark.parametrize(
    ("gt", "gt_segments", "pred", "pred_segments", "message"),
    [
        (GT, GOOD, GT[:, 1:], guess((5, 1)), r"P is 1x14 \(height x width\), but G is 1x15"),
        (GT, GOOD, row_of((5, 8), (6, 7)), guess((5, 1)), r"P: ids \[6\] are in the map but not"),
        (GT, GOOD, GT, guess((5, 1), (8, 1)), r"P: ids \[8\] are in segments_info but have no pix"),
        (GT, GOOD, GT, guess((5, 3)), r"P: unknown category_id \[3\] of segments \[5\]"),
        (GT, truth(GT, (5, 3)), GT, [], r"G: unknown category_id \[3\] of segments \[5\]"),
        (GT, truth(GT, (5, 1, 0, 0)), GT, [], r"G: segments \[5\] have zero area"),
        (GT, truth(GT, (5, 1, 0, float("nan"))), GT, [], r"G: segments \[5\] have zero area"),
        (GT, guess((5, 1)), GT, guess((5, 1)), r"G: segments \[5\] have no 'area', a number"),
        (GT, truth(GT, (5, 1, 0, 10**400)), GT, [], r"G: segments \[5\] have no 'area', a number"),
        (GT, truth(GT, (5, 1, 0, "big")), GT, [], r"G: segments \[5\] have no 'area', a number"),
        (GT, [{"id": 5}], GT, [], r"G: every segment needs 'id' and .*\('category_id'\)"),
        (GT, GOOD, GT, [{"id": "5", "category_id": 1}], "P: every segment needs 'id' and"),
        (GT, GOOD, GT, [{"id": 2**70, "category_id": 1}], "P: every segment needs 'id' and"),
        (GT, GOOD, GT, [{"id": 5, "category_id": [1]}], "P: every segment needs 'id' and"),
        (GT, GOOD, GT, ["segment"], "P: every segment needs 'id' and"),
        (GT, GOOD, GT, guess((5, 1), (5, 4)), r"P: segment ids must differ, .* got \[5, 5\]"),
        (GT, truth(GT, (0, 1)), GT, [], r"G: segment ids must differ, and 0 is void; got \[0\]"),
        (GT[0], GOOD, GT, [], r"G: expected a map \(H, W\), got shape \(15,\)"),
        (GT, GOOD, GT[:, :0], [], r"P: expected a map \(H, W\), got shape \(1, 0\)"),
    ],
)
def test_bad_input_is_named(gt, gt_segments, pred, pred_segments, message):
    quality = PanopticQuality(CATEGORIES)
    with pytest.raises(ValueError, match=message):
        quality.update(gt, gt_segments, pred, pred_segments, gt_name="G", pred_name="P")
    assert not quality.counts.any()


def test_map_of_floats():
    with pytest.raises(TypeError, match="prediction: expected a map of integers, got float64"):
        PanopticQuality(CATEGORIES).update(GT, GOOD, GT.astype(float), guess((5, 1)))


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 1, "name": "cat"}], "category .*cat.* has no whole number 'isthing'"),
        ([{"isthing": 1}], "has no whole number 'id'"),
        (["cat"], "category 'cat' has no whole number 'id'"),
        ([{"id": [1], "isthing": 1}], "has no whole number 'id'"),
        ([*CATEGORIES, CATEGORIES[0]], r"category ids must differ, got \[1, 1, 4, 9\]"),
    ],
)
def test_bad_categories(categories, message):
    with pytest.raises(ValueError, match=message):
        PanopticQuality(categories)
