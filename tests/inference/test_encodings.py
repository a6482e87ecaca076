"""Masks as polygons and run lengths, against the masks that pycocotools makes of them."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.ndimage import gaussian_filter

from mmmaskformer.inference.encodings import polygons, run_lengths


def decoded(found, shape):
    height, width = map(int, shape)
    return coco_mask.decode(
        coco_mask.merge(coco_mask.frPyObjects(found, height, width))
    ).astype(bool)  # fmt: skip


def test_a_rectangle_and_a_ring_by_hand():
    mask = np.zeros((6, 7), bool)
    mask[1:3, 2:5] = True
    (found,) = polygons(mask)
    corners = set(zip(found[::2], found[1::2], strict=True))
    assert corners == {(2, 1), (5, 1), (5, 3), (2, 3)}
    mask[:] = True
    mask[2:4, 3] = False
    (found,) = polygons(mask)
    assert {(3, 2), (4, 2), (4, 4), (3, 4)} < set(zip(found[::2], found[1::2], strict=True))
    assert np.array_equal(decoded([found], mask.shape), mask)
    assert polygons(np.zeros((3, 3), bool)) == []


@pytest.mark.parametrize("smooth", [False, True])
def test_any_mask_comes_back_to_the_pixel(smooth):
    """Noise has holes, islands in holes, and pixels that touch at corners only."""
    random = np.random.RandomState(0)
    for _ in range(150):
        mask = random.rand(*random.randint(1, 30, 2))
        mask = gaussian_filter(mask, 1.5) > 0.5 if smooth else mask > random.rand()
        found = polygons(mask)
        assert np.array_equal(coco_mask.decode(run_lengths(mask)), mask)
        if found:
            assert np.array_equal(decoded(found, mask.shape), mask)
        assert bool(found) == bool(mask.any())
