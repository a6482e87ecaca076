"""Samples and metadata that a metric can not use, each refused by name."""

import pytest

from tests.evaluation.test_metrics import META, evaluate, panoptic_sample, semantic_sample


def without(sample, *keys):
    copy = {key: dict(v) if isinstance(v, dict) else v for key, v in sample.items()}
    part = copy
    for key in keys[:-1]:
        part = part[key]
    del part[keys[-1]]
    return copy


@pytest.mark.parametrize(
    "keys",
    [("gt_panoptic_seg",), ("pred_panoptic_seg",), ("pred_panoptic_seg", "segments_info")],
)
def test_sample_without_a_field(keys):
    with pytest.raises(ValueError, match=rf"3\.png: the data sample has no {'.'.join(keys)}"):
        evaluate("PanopticQualityMetric", [without(panoptic_sample(3), *keys)])


def test_semantic_sample_without_ground_truth():
    sample = semantic_sample(3).to_dict()
    del sample["gt_sem_seg"]
    with pytest.raises(ValueError, match="the data sample has no gt_sem_seg.data$"):
        evaluate("SemanticPQMetric", [sample])


def test_errors_name_the_image():
    sample = panoptic_sample(3)
    sample["pred_panoptic_seg"]["segments_info"].pop()
    with pytest.raises(ValueError, match=r"3\.png: prediction: ids \[\d\] are in the map but not"):
        evaluate("PanopticQualityMetric", [sample])


@pytest.mark.parametrize(
    ("name", "sample", "meta", "message"),
    [
        (
            "PanopticQualityMetric",
            panoptic_sample,
            {"classes": ("cat",)},
            "'classes' and 'isthing'",
        ),
        ("PanopticQualityMetric", panoptic_sample, {**META, "isthing": [1]}, "of equal length"),
        ("PanopticQualityMetric", panoptic_sample, None, "got None and None"),
        ("SemanticPQMetric", semantic_sample, {}, "needs 'classes' in the dataset's metainfo"),
    ],
)
def test_metainfo_without_classes(name, sample, meta, message):
    with pytest.raises(ValueError, match=message):
        evaluate(name, [sample(0)], meta)
