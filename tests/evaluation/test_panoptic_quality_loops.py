"""Panoptic quality of random scenes against slow loops over masks."""

import numpy as np
import pytest

from mmmaskformer.evaluation import PanopticQuality
from tests.evaluation.test_panoptic_quality import CATEGORIES, FN, FP, IOU, TP


def scene(rng):
    """Random maps with void, crowds, ids the json lacks, wrong areas, and segments not seen."""
    height, width = rng.integers(1, 20, 2)
    palette = rng.choice(np.arange(1, 2**24), 14, replace=False)
    coarse = rng.integers(0, 9, (height // 4 + 1, width // 4 + 1))
    coarse = np.repeat(np.repeat(coarse, 4, 0), 4, 1)[:height, :width]
    noisy = np.where(rng.random((height, width)) < 0.15, rng.integers(0, 9, coarse.shape), coarse)
    gt = np.append(0, palette)[coarse].astype(np.uint32)
    pred = np.append(0, palette[::-1])[noisy].astype(np.uint32)
    gt_segments = [
        {
            "id": int(palette[i]),
            "category_id": int(rng.choice([1, 4, 9])),
            "iscrowd": int(rng.random() < 0.25),
            "area": int((gt == palette[i]).sum() + rng.integers(0, 3)) or 1,
        }
        for i in rng.permutation(10)
        if rng.random() < 0.85
    ]
    true_class = {s["id"]: s["category_id"] for s in gt_segments}
    pred_segments = []
    for segment in rng.permutation(np.unique(pred[pred > 0])):
        twin = int(palette[palette[::-1].tolist().index(segment)])
        wrong = rng.random() < 0.2 or twin not in true_class
        category = int(rng.choice([1, 4, 9])) if wrong else true_class[twin]
        pred_segments.append({"id": int(segment), "category_id": category})
    return gt, gt_segments, pred, pred_segments


def by_loops(gt, gt_segments, pred, pred_segments):
    """Masks and double loops, straight from the rules."""
    total = {c["id"]: [0.0, 0, 0, 0] for c in CATEGORIES}
    void = gt == 0
    hit_gt, hit_pred = set(), set()
    for t in gt_segments:
        for p in pred_segments:
            a, b = gt == t["id"], pred == p["id"]
            if t["iscrowd"] or t["category_id"] != p["category_id"]:
                continue
            common = (a & b).sum()
            iou = common / (t["area"] + (b & ~void).sum() - common)
            if iou > 0.5:
                total[t["category_id"]][IOU] += iou
                total[t["category_id"]][TP] += 1
                hit_gt.add(t["id"])
                hit_pred.add(p["id"])
    for t in gt_segments:
        if t["id"] not in hit_gt and not t["iscrowd"]:
            total[t["category_id"]][FN] += 1
    for p in pred_segments:
        forgiving = void.copy()
        for t in reversed(gt_segments):
            if t["iscrowd"] and t["category_id"] == p["category_id"]:
                forgiving |= gt == t["id"]
                break
        mask = pred == p["id"]
        if p["id"] not in hit_pred and not (mask & forgiving).sum() > mask.sum() / 2:
            total[p["category_id"]][FP] += 1
    return [total[c["id"]] for c in CATEGORIES]


@pytest.mark.slow
def test_equal_to_loops_over_masks():
    rng = np.random.default_rng(0)
    total = np.zeros((3, 4))
    for _ in range(300):
        image = scene(rng)
        ours = PanopticQuality(CATEGORIES).update(*image)
        np.testing.assert_allclose(ours, by_loops(*image), rtol=0, atol=1e-12)
        total += ours
    assert (total[:, 1:] > 100).all()  # the scenes exercise every kind of event


def test_merge_is_the_sum_of_images():
    rng = np.random.default_rng(1)
    images = [scene(rng) for _ in range(20)]
    one, first, second = (PanopticQuality(CATEGORIES) for _ in range(3))
    for index, image in enumerate(images):
        one.update(*image)
        (first, second)[index % 2].update(*image)
    first.merge(second)
    np.testing.assert_allclose(first.counts, one.counts, rtol=1e-12)
    for group in ("All", "Things", "Stuff"):
        assert first.compute()[group] == pytest.approx(one.compute()[group], abs=1e-12)
    with pytest.raises(ValueError, match="categories differ"):
        first.merge(PanopticQuality(CATEGORIES[:2]))
