"""mIoU against mmseg's, and where mmseg's counting ends."""

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric as MMSegIoUMetric
from PIL import Image

CLASSES = [f"class {i}" for i in range(300)]


def build(classes=5, **options):
    metric = METRICS.build(dict(type="mmmaskformer.IoUMetric", **options))
    metric.dataset_meta = dict(classes=CLASSES[:classes])
    return metric


def sample(pred, label=None, name="street.jpg", **meta):
    fields = dict(pred_sem_seg=dict(data=torch.as_tensor(pred)[None]), img_path=name, **meta)
    if label is not None:
        fields["gt_sem_seg"] = dict(data=torch.as_tensor(label)[None])
    return fields


def test_equals_mmsegs():
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(3):
        label = rng.integers(0, 4, (40, 30))  # class 4 never occurs
        pred = np.where(rng.random(label.shape) < 0.6, label, rng.integers(0, 4, label.shape))
        label[rng.random(label.shape) < 0.2] = 255
        samples.append(sample(pred, label.astype(np.int64)))
    ours, stock = build(), MMSegIoUMetric()
    stock.dataset_meta = ours.dataset_meta
    for metric in (ours, stock):
        metric.process({}, samples)
    expected = stock.evaluate(3)
    assert 40 < expected["mIoU"] < 70
    assert ours.evaluate(3) == pytest.approx(expected, abs=0.006)  # rounded to 2 decimals


def test_other_ignore_index_by_hand():
    metric = build(classes=3, ignore_index=3)
    metric.process({}, [sample([[0, 0, 1, 2]], [[0, 1, 1, 3]])])
    result = metric.evaluate(1)
    assert result["mIoU"] == 50.0  # 1/2, 1/2; class 2 is predicted on an ignored pixel only
    assert result["aAcc"] == pytest.approx(66.67)


def test_counts_more_pixels_than_float32_can():
    side = 4100  # 16.81 million pixels
    label = torch.zeros(side, side, dtype=torch.uint8)
    pred = label.clone()
    pred[0, 0] = 1
    areas = build().intersect_and_union(pred, label, 2, 255)
    assert [area.tolist() for area in areas] == [
        [side**2 - 1, 0],
        [side**2, 1],
        [side**2 - 1, 1],
        [side**2, 0],
    ]


@pytest.mark.parametrize("bad", [5, 254, -1])
def test_label_outside_the_range(bad):
    with pytest.raises(ValueError, match=rf"maps/street\.png: label values \[{bad}\] .*\[0, 4\]"):
        build().process(
            {},
            [sample([[0, 1]], [[0, bad]], seg_map_path="maps/street.png")],
        )


@pytest.mark.parametrize(
    ("classes", "reduced", "dtype"),
    [(256, False, np.uint8), (256, True, np.int32), (255, True, np.uint8), (300, False, np.int32)],
)
def test_label_maps_have_the_bits_that_they_need(tmp_path, classes, reduced, dtype):
    labels = np.array([[0, 7, classes - 1]])
    metric = build(classes, format_only=True, output_dir=str(tmp_path))
    metric.process({}, [sample(labels, name="a/street.jpg", reduce_zero_label=reduced)])
    written = Image.open(tmp_path / "street.png")
    assert written.mode == ("L" if dtype == np.uint8 else "I;16")
    np.testing.assert_array_equal(np.asarray(written), labels + reduced)
    assert [path.name for path in tmp_path.iterdir()] == ["street.png"]


def test_images_one_pixel_wide(tmp_path):
    metric = build(output_dir=str(tmp_path))
    labels = np.array([[0], [1], [2]])
    metric.process({}, [sample(labels, labels), sample(labels.T, labels.T, name="flat.jpg")])
    assert metric.evaluate(2)["mIoU"] == 100.0
    assert Image.open(tmp_path / "street.png").size == (1, 3)
    assert Image.open(tmp_path / "flat.png").size == (3, 1)


@pytest.mark.parametrize("asked", [["mIoU", "mFoo"], "iou", []])
def test_metrics_that_are_not_there_are_named_before_anything_is_counted(asked):
    with pytest.raises(ValueError, match="must be some of mIoU, mDice, mFscore, got") as caught:
        build(iou_metrics=asked)
    assert str(caught.value).endswith(repr(asked))
    assert build(iou_metrics=["mDice", "mIoU"]).metrics == ["mDice", "mIoU"]
