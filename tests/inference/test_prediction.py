"""What a prediction becomes, against maps and masks that are known."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmmaskformer.baselines.center_fusion import PanopticDeepLabFusion
from mmmaskformer.inference import Prediction
from tests.inference.made import IDS, LABELS, META, SCORES, image, predicted

BY_LABEL = np.vectorize(LABELS.get)(IDS)
BOXES = {1: [0, 0, 80, 30], 2: [0, 30, 80, 60], 3: [10, 20, 30, 50], 4: [40, 25, 60, 45]}


def test_maps_and_segments():
    prediction = predicted()
    assert np.array_equal(prediction.semantic, BY_LABEL)
    ids, segments = prediction.panoptic.ids, prediction.panoptic.segments
    assert np.array_equal(ids, IDS)
    for segment in segments:
        mask = segment["id"] == IDS
        assert segment["area"] == mask.sum()
        assert segment["box"] == BOXES[segment["id"]]
        assert segment["class"] == META["classes"][LABELS[segment["id"]]]
        assert segment["score"] == pytest.approx(SCORES[segment["id"]])


def test_instances_are_the_things_best_first():
    first, second = predicted().instances
    for one, segment in ((first, 3), (second, 4)):
        assert np.array_equal(one["mask"], segment == IDS)
        assert one["area"] == (segment == IDS).sum()
        assert one["box"] == BOXES[segment]
        assert one["class"] == "cat"
        assert one["score"] == pytest.approx(SCORES[segment], abs=1e-4)
    assert len(predicted().with_thresholds(object_threshold=0.87).instances) == 1
    assert predicted(classes=["dog", "sky"]).instances == []


def test_thresholds_that_the_inference_does_not_have():
    """One without queries has others: nothing is set that nobody reads."""
    prediction = predicted()
    prediction.head.panoptic_fusion = PanopticDeepLabFusion(META["isthing"])
    with pytest.raises(ValueError, match="PanopticDeepLabFusion has no object_threshold"):
        _ = prediction.with_thresholds(object_threshold=0.5).panoptic


def test_thresholds_change_without_another_run():
    prediction = predicted()
    stricter = prediction.with_thresholds(object_threshold=0.92)
    assert [s["id"] for s in stricter.panoptic.segments] == [1, 2]
    assert [s["class"] for s in stricter.panoptic.segments] == ["sky", "grass"]
    assert len(prediction.panoptic.segments) == 4
    assert len(stricter.with_thresholds(object_threshold=0.1).panoptic.segments) == 4
    with pytest.raises(ValueError, match="no 'mask_threshold'; wanted object_threshold or"):
        prediction.with_thresholds(mask_threshold=0.5)
    with pytest.raises(ValueError, match="object_threshold"):
        prediction.with_thresholds(object_threshold=2)


def test_other_classes_are_left_out():
    prediction = predicted(classes=["cat", "sky"])
    kept = np.isin(IDS, [1, 3, 4])
    assert np.array_equal(prediction.panoptic.ids, np.where(kept, IDS, 0))
    assert [s["class"] for s in prediction.panoptic.segments] == ["sky", "cat", "cat"]
    assert np.array_equal(prediction.semantic, np.where(kept, BY_LABEL, 255))
    with pytest.raises(ValueError, match="no class 'cart'; wanted names such as cat"):
        _ = predicted(classes=["cart"]).semantic
    assert len(predicted(classes=[]).panoptic.segments) == 0
    one, listed = (
        predicted(classes="sky"),
        predicted(classes=["sky"]),
    )  # a name is no list of letters
    assert np.array_equal(one.semantic, listed.semantic)
    assert np.array_equal(listed.plot(classes="cat"), listed.plot(classes=["cat"]))


def test_the_task_is_what_the_model_can():
    assert predicted().task == "panoptic"
    plain = predicted(panoptic=False)
    assert plain.task == "semantic"
    with pytest.raises(ValueError, match="street.jpg: the model has no panoptic inference"):
        _ = plain.panoptic
    with pytest.raises(ValueError, match="street.jpg: the model has no instance inference"):
        plain.plot(task="instance")
    with pytest.raises(
        ValueError, match="task must be one of panoptic, semantic, instance, got 'm"
    ):
        predicted(task="masks")
    foreign = Prediction(image(), "a", object(), [], META, labels=BY_LABEL)
    assert foreign.task == "semantic"
    assert foreign.semantic is BY_LABEL


@pytest.mark.parametrize("task", ["panoptic", "semantic", "instance"])
def test_json_has_plain_types_and_says_what_the_masks_say(task):
    prediction = predicted(task=task)
    content = json.loads(json.dumps(prediction.to_json(masks=True)))
    assert content == prediction.to_json(masks=True)
    about = {key: content[key] for key in ("image", "height", "width", "task")}
    assert about == dict(image="street.jpg", height=60, width=80, task=task)
    names = {"panoptic": 4, "semantic": 3, "instance": 2}
    assert len(content["segments"]) == names[task]
    for segment in content["segments"]:
        mask = coco_mask.decode(segment["mask"]).astype(bool)
        if task == "semantic":
            wanted = segment["id"] == BY_LABEL
        else:
            wanted = segment["id"] + (2 if task == "instance" else 0) == IDS
        assert np.array_equal(mask, wanted)
        assert segment["area"] == mask.sum()
        assert segment["share"] == pytest.approx(mask.mean())
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert segment["box"] == box
        assert segment["category_id"] == META["category_ids"][segment["label"]]
        assert segment["class"] == META["classes"][segment["label"]]
        assert ("score" in segment) == (task != "semantic")
        assert ("isthing" in segment) == (task == "panoptic")
    assert "mask" not in prediction.to_json()["segments"][0]


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
def test_coco_annotations_decode_to_the_masks(segmentation):
    annotations = json.loads(json.dumps(predicted().to_coco(segmentation, image_id=139)))
    assert [one["id"] for one in annotations] == [1, 2, 3, 4]
    for one, segment in zip(annotations, IDS[[0, -1, 20, 25], [0, 0, 10, 40]], strict=True):
        assert one["image_id"] == 139
        assert one["iscrowd"] == 0
        encoded = one["segmentation"]
        if segmentation == "polygons":
            encoded = coco_mask.merge(coco_mask.frPyObjects(encoded, *IDS.shape))
        assert np.array_equal(coco_mask.decode(encoded).astype(bool), segment == IDS)
        assert one["area"] == coco_mask.area(encoded)
        assert one["bbox"] == coco_mask.toBbox(encoded).tolist()
        assert one["category_id"] == META["category_ids"][LABELS[segment]]
        assert one["score"] == pytest.approx(SCORES[segment])
    meta = {key: META[key] for key in META if key != "category_ids"}
    assert [one["category_id"] for one in predicted(meta=meta).to_coco()] == [2, 3, 0, 0]
    assert predicted().to_coco()[0]["image_id"] == "street.jpg"
    assert "score" not in predicted(task="semantic").to_coco()[0]
    with pytest.raises(ValueError, match="segmentation must be 'rle' or 'polygons', got 'png'"):
        predicted().to_coco("png")


def test_supervision_gets_boxes_masks_and_names():
    supervision = pytest.importorskip("supervision", reason="needs the package supervision")
    found = predicted(task="instance").to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.xyxy.tolist() == [BOXES[3], BOXES[4]]
    assert np.array_equal(found.mask, [IDS == 3, IDS == 4])
    assert found.class_id.tolist() == [0, 0]
    assert found["class_name"].tolist() == ["cat", "cat"]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.85], abs=1e-4)
    assert predicted(task="semantic").to_supervision().confidence is None
    assert len(predicted(classes=[]).to_supervision()) == 0


def test_supervision_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(ModuleNotFoundError, match="Run: pip install supervision"):
        predicted().to_supervision()


def test_a_notebook_and_a_prompt_show_the_result():
    prediction = predicted("photos/street.jpg")
    picture = Image.open(io.BytesIO(prediction._repr_png_()))
    assert picture.format == "PNG"
    assert picture.width == 480  # six times, and a legend below
    assert picture.height > 360
    line = "<Prediction of photos/street.jpg, 80x60, panoptic: sky, grass, 2 cat>"
    assert repr(prediction) == line
    assert repr(predicted(classes=[])).endswith("panoptic: nothing>")
    semantic = predicted(task="semantic")
    assert repr(semantic) == "<Prediction of street.jpg, 80x60, semantic: sky, grass, cat>"
    large = Prediction(image((2000, 3000)), "a", object(), [], META, np.zeros((2000, 3000), int))
    assert Image.open(io.BytesIO(large._repr_png_())).width == 1600


def test_pictures_have_the_size_of_the_photograph():
    prediction = predicted()
    plain = prediction.plot(labels=False, boundaries=False)
    assert plain.shape == (60, 80, 3)
    assert plain.dtype == np.uint8
    wanted = {(0, 0): 2, (59, 79): 3, (22, 12): 0}  # the first cat has the class's own colour
    for place, label in wanted.items():
        mixed = 0.4 * 100 + 0.6 * np.array(META["palette"][label])
        assert np.abs(plain[place] - mixed).max() <= 1
    assert np.abs(plain[26, 42].astype(int) - plain[22, 12]).max() > 20  # the second a shade
    semantic = prediction.plot(labels=False, boundaries=False, task="semantic")
    assert np.array_equal(semantic[26, 42], semantic[22, 12])
    only = prediction.plot(classes=["sky"], labels=False)
    assert only[59, 79].tolist() == [100] * 3
    assert only[22, 12].tolist() == [100] * 3
    assert np.array_equal(only[0, 0], plain[0, 0])
    assert np.array_equal(prediction.plot(opacity=0, labels=False, boundaries=False), image())
    assert prediction.plot(legend=True).shape[0] > 60
    instances = prediction.plot(labels=False, boundaries=False, task="instance")
    assert instances[0, 0].tolist() == [100] * 3
    assert np.array_equal(instances[22, 12], plain[22, 12])
    with pytest.raises(ValueError, match="opacity must be from 0 to 1, got 2"):
        prediction.plot(opacity=2)


def test_a_model_without_colours_gets_some():
    meta = {key: META[key] for key in META if key != "palette"}
    picture = predicted(meta=meta).plot(opacity=1, labels=False, boundaries=False)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 4
