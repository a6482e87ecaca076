"""The choice of examples to show."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.kit import examples


def test_mean_iou_of_the_classes_that_are_there():
    truth = np.array([[0, 0, 3, 3], [0, 0, 255, 255]])
    prediction = np.array([[0, 0, 3, 0], [0, 1, 3, 3]])
    # Class 0: 3 of 5; class 3: 1 of 2. Ignored pixels do not count, nor does class 1.
    dataset = SimpleNamespace(metainfo=dict(classes="abcd"), ignore_index=255)
    assert examples.mean_iou(prediction, truth, dataset) == pytest.approx((3 / 5 + 1 / 2) / 2)
    assert np.isnan(examples.mean_iou(prediction, np.full((2, 4), 255), dataset))


def test_best_middle_and_worst_are_chosen():
    scores = [0.1, 0.9, float("nan"), 0.5, 0.8, 0.2, 0.6]
    assert examples.choose(scores, 1) == [1, 6, 0]
    assert examples.choose(scores, 2) == [1, 4, 6, 3, 5, 0]
    assert examples.choose([0.3], 2) == [0]
