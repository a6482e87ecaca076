"""PQ^St of label maps against hand-worked numbers and against the path for segments."""

import numpy as np
import pytest

from mmmaskformer.evaluation import PanopticQuality, semantic_categories

NAMES = ("road", "tree", "car")


def counts(gt, pred, classes=NAMES, **kwargs):
    quality = PanopticQuality(semantic_categories(classes))
    image = quality.update_semantic(np.array([gt]), np.array([pred]), **kwargs)
    np.testing.assert_array_equal(image, quality.counts)
    return quality.counts.tolist()


def test_by_hand():
    gt = [0] * 6 + [1] * 4 + [255] * 5
    pred = [0] * 6 + [1] * 2 + [2] * 2 + [2] * 3 + [1] * 2
    # road 6 of 6; tree 2 of 4, which is not enough, and half of its prediction is on void, which
    # does not forgive; car has 3 of 5 pixels on void, which does.
    assert counts(gt, pred) == [[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("nothing", [255, -1])
def test_no_prediction_becomes_class_0(nothing):
    gt = [0] * 6 + [1] * 6
    assert counts(gt, [0] * 3 + [nothing] * 3 + [1] * 6) == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4]
    assert counts(gt, [0] * 6 + [nothing] * 6) == [[0, 0, 1, 1], [0, 0, 0, 1], [0] * 4]


def test_other_ignore_index():
    gt = [0] * 4 + [2] * 9
    assert counts(gt, [0] * 13, ignore_index=2)[0] == [1, 1, 0, 0]
    # A class that is ignored in the ground truth may still be predicted.
    assert counts([0] * 4, [2] * 4, ignore_index=2) == [[0, 0, 0, 1], [0] * 4, [0, 0, 1, 0]]
    assert counts([0] * 10 + [2] * 9, [2] * 19, ignore_index=2) == [
        [0, 0, 0, 1],
        [0] * 4,
        [0, 0, 1, 0],
    ]
    assert counts([0] * 4 + [65535] * 9, [0] * 13, ignore_index=65535)[0] == [1, 1, 0, 0]


def test_all_ignored_is_not_available():
    quality = PanopticQuality(semantic_categories(NAMES))
    quality.update_semantic(np.full((2, 3), 255, np.uint8), np.ones((2, 3), np.uint8))
    assert quality.compute()["Stuff"] == {"pq": None, "sq": None, "rq": None, "n": 0}


def test_equals_the_path_for_segments():
    rng = np.random.default_rng(0)
    classes = [str(c) for c in range(7)]
    semantic, general = (PanopticQuality(semantic_categories(classes)) for _ in range(2))
    for _ in range(100):
        shape = rng.integers(1, 15, 2)
        gt = np.sort(rng.integers(0, 8, shape), axis=1).astype(np.uint8)
        gt[gt == 7] = 255
        noise = rng.random(shape) < 0.3
        pred = np.where(noise | (gt == 255), rng.integers(0, 7, shape), gt)
        ids = np.where(gt == 255, 0, gt.astype(np.int64) + 1)
        present, area = np.unique(ids[ids > 0], return_counts=True)
        segments = [
            {"id": int(i), "category_id": int(i) - 1, "area": int(a)}
            for i, a in zip(present, area, strict=True)
        ]
        predicted = [{"id": int(c) + 1, "category_id": int(c)} for c in np.unique(pred)]
        ours = semantic.update_semantic(gt, pred)
        np.testing.assert_array_equal(ours, general.update(ids, segments, pred + 1, predicted))
    assert (general.counts.sum(0) > 50).all()
    assert semantic.compute() == general.compute()
    assert semantic.compute()["All"] == semantic.compute()["Stuff"]
    assert semantic.compute()["Things"]["n"] == 0


@pytest.mark.parametrize(
    ("gt", "pred", "message"),
    [
        ([0, 3], [0, 0], r"truth: label values \[3\] are outside the allowed range \[0, 2\]"),
        ([0, -1], [0, 0], r"truth: label values \[-1\] are outside"),
        ([0, 1], [7, 200], r"guess: label values \[7, 200\] are outside"),
        ([0, 1], [0, 1, 2], "guess is 1x3 .* truth is 1x2"),
    ],
)
def test_bad_labels_are_named(gt, pred, message):
    with pytest.raises(ValueError, match=message):
        counts(gt, pred, gt_name="truth", pred_name="guess")
