"""Files: the official evaluation's numbers, and real ground truth against itself."""

import json

import numpy as np
import pytest

from mmmaskformer import evaluation
from tests.evaluation.test_coco_panoptic import evaluate
from tests.reference import FOLDER

CASES = [
    "sample_vs_perturbed",
    "quirk_class_only_in_gt",
    "quirk_crowd_plus_void",
    "quirk_fp_more_than_half_void",
    "quirk_gt_area_from_json",
    "quirk_two_crowds_same_class",
]


@pytest.mark.parametrize("case", CASES)
def test_official_numbers(case):
    folder = FOLDER / "pq" / case
    expected = json.loads((folder / "expected.json").read_text())
    result = evaluate(folder / "gt.json", folder / "pred.json").compute()
    for group in ("All", "Things", "Stuff"):
        assert result[group] == pytest.approx(expected[group], abs=1e-9, rel=0)
    assert {str(c) for c in result["per_class"]} == set(expected["per_class"])
    for category, scores in result["per_class"].items():
        wanted = expected["per_class"][str(category)]
        wanted["iou"] = wanted.pop("iou_sum", 0.0)
        wanted = {"tp": 0, "fp": 0, "fn": 0, **wanted}
        assert scores == pytest.approx(wanted, abs=1e-9, rel=0)
    table = evaluation.summary_table(result).split("\n")
    printed = [line for line in expected["printed_by_panopticapi"] if "|" in line]
    assert table == printed


def test_official_numbers_of_each_image():
    folder = FOLDER / "pq/sample_vs_perturbed"
    expected = json.loads((folder / "expected.json").read_text())["per_image"]
    annotations = json.loads((folder / "gt.json").read_text())["annotations"]
    categories, pairs = evaluation.read_pairs(folder / "gt.json", folder / "pred.json")
    assert len(pairs) == len(expected) == 2
    for annotation, pair in zip(annotations, pairs, strict=True):
        counts = evaluation.count_pairs(categories, [pair]).counts
        wanted = expected[str(annotation["image_id"])]
        for category, row in zip(categories, counts, strict=True):
            names = ("iou_sum", "tp", "fp", "fn")
            stat = wanted.get(str(category["id"]), dict.fromkeys(names, 0))
            np.testing.assert_allclose(row, [stat[n] for n in names], atol=1e-9, rtol=0)


def test_official_error():
    folder = FOLDER / "pq/quirk_error_pred_id_not_in_json"
    assert "segment with ID 5" in json.loads((folder / "expected.json").read_text())["raises"]
    with pytest.raises(ValueError, match=r"pred/000000000001\.png: ids \[5\] are in the map"):
        evaluate(folder / "gt.json", folder / "pred.json")


@pytest.mark.parametrize(("split", "classes"), [("train2017", 119), ("val2017", 124)])
def test_real_ground_truth_against_itself(shared, split, classes):
    root = shared / "data/coco_panoptic_mini/coco"
    path, folder = root / f"annotations/panoptic_{split}.json", root / f"panoptic_{split}"
    quality = evaluate(path, path, folder, folder)
    annotations = json.loads(path.read_text())["annotations"]
    segments = [s for a in annotations for s in a["segments_info"]]
    assert quality.counts[:, 1].sum() == sum(not s["iscrowd"] for s in segments)
    assert quality.counts[:, 2:].sum() == 0
    assert quality.compute()["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": classes}
    table = evaluation.summary_table(quality.compute())
    assert f"All       | 100.0  100.0  100.0   {classes}" in table
