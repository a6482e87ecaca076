"""Files: the official evaluation's numbers, real ground truth, and one clear error each."""

import re

import numpy as np
import pytest
from PIL import Image

from mmmaskformer import evaluation
from tests.evaluation.files import edit, example, segment, write_png, write_side


def evaluate(gt_json, pred_json, *folders):
    return evaluation.count_pairs(*evaluation.read_pairs(gt_json, pred_json, *folders))


def test_example(tmp_path):
    result = evaluate(*example(tmp_path)).compute()
    assert result["per_class"][1]["iou"] == pytest.approx(5 / 6)
    assert result["All"]["pq"] == pytest.approx((5 / 6 + 2) / 3)


@pytest.mark.parametrize("workers", [2, 5])
def test_processes_do_not_change_a_bit(tmp_path, workers):
    categories, pairs = evaluation.read_pairs(*example(tmp_path, images=35))
    seen = []
    one = evaluation.count_in_processes(categories, pairs)
    many = evaluation.count_in_processes(
        categories, pairs, workers, track=lambda tasks: (seen.append(t) or t for t in tasks)
    )
    np.testing.assert_array_equal(many.counts, one.counts)
    assert one.counts[:, 1].tolist() == [35, 35, 35]
    assert len(seen) == 5  # tasks of eight images


def test_error_in_a_process_reaches_the_caller(tmp_path):
    categories, pairs = evaluation.read_pairs(*example(tmp_path, images=30))
    pairs[20].pred_png.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"map .*pred/020\.png can not be read"):
        evaluation.count_in_processes(categories, pairs, 2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_ids_of_a_png(tmp_path, mode):
    ids = np.array([[0, 1, 255], [256, 65536, 2**24 - 1]], np.uint32)
    write_png(tmp_path / "a.png", ids)
    if mode == "RGBA":
        image = Image.open(tmp_path / "a.png").convert("RGB")
        image.putalpha(Image.new("L", image.size, 7))
        image.save(tmp_path / "a.png")
    read = evaluation.read_ids(tmp_path / "a.png")
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, ids)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_png_of_another_mode_is_refused(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=rf"a\.png must be RGB, .* it is of mode {mode}"):
        evaluation.read_ids(tmp_path / "a.png")


@pytest.mark.parametrize("keep", [0, 20, 60, -40])
def test_damaged_png_is_named(tmp_path, keep):
    rng = np.random.default_rng(0)
    write_png(tmp_path / "a.png", rng.integers(0, 2**24, (30, 30)))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:keep])
    with pytest.raises(ValueError, match=r"map .*a\.png can not be read .* damaged, incomplete"):
        evaluation.read_ids(tmp_path / "a.png")


def annotation(path, change, index=0):
    edit(path, lambda data: change(data["annotations"][index]))


FILE_ERRORS = {
    "json_missing": (
        lambda gt, pred: pred.unlink(),
        FileNotFoundError,
        r"/pred\.json does not exist",
    ),
    "json_truncated": (
        lambda gt, pred: gt.write_bytes(gt.read_bytes()[:-30]),
        ValueError,
        r"/gt\.json is no valid json",
    ),
    "json_not_text": (
        lambda gt, pred: gt.write_bytes(b"\xff\xfe\xfa"),
        ValueError,
        r"/gt\.json is no valid json",
    ),
    "json_nested_without_end": (
        lambda gt, pred: gt.write_text("[" * 200000),
        ValueError,
        r"/gt\.json is no valid json",
    ),
    "json_list": (
        lambda gt, pred: pred.write_text("[]"),
        ValueError,
        r"/pred\.json is no COCO panoptic json",
    ),
    "no_annotations": (
        lambda gt, pred: pred.write_text("{}"),
        ValueError,
        r"/pred\.json has no list 'annotations'",
    ),
    "no_categories": (
        lambda gt, pred: edit(gt, lambda data: data.pop("categories")),
        ValueError,
        r"/gt\.json has no list 'categories'",
    ),
    "category_without_isthing": (
        lambda gt, pred: edit(gt, lambda data: data["categories"][1].pop("isthing")),
        ValueError,
        r"/gt\.json: category .*dog.* has no whole number 'isthing'",
    ),
    "annotation_without_file": (
        lambda gt, pred: annotation(pred, lambda a: a.pop("file_name"), 1),
        ValueError,
        r"/pred\.json: annotation 1 has no 'file_name'",
    ),
    "image_without_prediction": (
        lambda gt, pred: edit(pred, lambda data: data["annotations"].pop(1)),
        ValueError,
        r"/pred\.json has no prediction for 1 of the 7 images of .*/gt\.json, image_id 1$",
    ),
    "no_predictions": (
        lambda gt, pred: edit(pred, lambda data: data["annotations"].clear()),
        ValueError,
        r"no prediction for 7 of the 7 images of .*, image_id 0, 1, 2, 3, 4 and 2 more$",
    ),
    "true_png_missing": (
        lambda gt, pred: (gt.parent / "gt/001.png").unlink(),
        FileNotFoundError,
        r"/gt\.json names .*/gt/001\.png, which does not exist",
    ),
    "predicted_png_missing": (
        lambda gt, pred: (gt.parent / "pred/001.png").unlink(),
        FileNotFoundError,
        r"/pred\.json names .*/pred/001\.png, which does not exist",
    ),
    "png_truncated": (
        lambda gt, pred: (gt.parent / "gt/001.png").write_bytes(
            (gt.parent / "gt/001.png").read_bytes()[:70]
        ),
        ValueError,
        r"map .*/gt/001\.png can not be read",
    ),
    "id_not_in_json": (
        lambda gt, pred: annotation(pred, lambda a: a["segments_info"].pop(1)),
        ValueError,
        r"/pred/000\.png: ids \[300\] are in the map but not in segments_info",
    ),
    "id_not_in_png": (
        lambda gt, pred: annotation(pred, lambda a: a["segments_info"].append(segment(77, 1))),
        ValueError,
        r"/pred/000\.png: ids \[77\] are in segments_info but have no pixels",
    ),
    "unknown_category_of_prediction": (
        lambda gt, pred: annotation(pred, lambda a: a["segments_info"][0].update(category_id=2)),
        ValueError,
        r"/pred/000\.png: unknown category_id \[2\] of segments \[8\]",
    ),
    "unknown_category_of_truth": (
        lambda gt, pred: annotation(gt, lambda a: a["segments_info"][0].update(category_id=2)),
        ValueError,
        r"/gt/000\.png: unknown category_id \[2\] of segments \[70000\]",
    ),
    "zero_area": (
        lambda gt, pred: annotation(gt, lambda a: a["segments_info"][2].update(area=0)),
        ValueError,
        r"/gt/000\.png: segments \[5\] have zero area",
    ),
    "sizes_differ": (
        lambda gt, pred: write_png(gt.parent / "pred/001.png", np.full((3, 220), 8)),
        ValueError,
        r"/pred/001\.png is 3x220 \(height x width\), but .*/gt/001\.png is 2x220",
    ),
}


@pytest.mark.parametrize("case", FILE_ERRORS)
def test_bad_files_are_named(tmp_path, case):
    damage, kind, message = FILE_ERRORS[case]
    gt, pred = example(tmp_path, images=7)
    damage(gt, pred)
    with pytest.raises(kind, match=message) as caught:
        evaluate(gt, pred)
    assert "\n" not in str(caught.value)
    assert len(re.findall(str(tmp_path), str(caught.value))) <= 2


def test_true_id_that_the_json_lacks_is_allowed(tmp_path):
    gt, pred = example(tmp_path)
    annotation(gt, lambda a: a["segments_info"].pop(1))
    counts = evaluate(gt, pred).counts
    assert counts[:, 1:].tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_predictions_of_other_images_are_ignored(tmp_path):
    gt, pred = example(tmp_path, images=3)
    edit(gt, lambda data: data["annotations"].pop(0))
    assert evaluate(gt, pred).counts[:, 1].tolist() == [2, 2, 2]


def pair_of_areas(tmp_path, area):
    ids = np.full((10, 10), 5)
    gt = write_side(tmp_path, "gt", [(ids, [segment(5, 1, area)])])
    return gt, write_side(tmp_path, "pred", [(ids, [segment(5, 1)])])


def test_iou_above_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"gt/000\.png: segments \(id, 'area'\) \[\(5, 25\.0\)\]"):
        evaluate(*pair_of_areas(tmp_path, 25))


def test_areas_that_are_not_the_maps_are_told(tmp_path):
    quality = evaluate(*pair_of_areas(tmp_path, 110))
    assert quality.counts[0].tolist() == [100 / 110, 1, 0, 0]
    (told,) = quality.oddities
    said = "gt/000.png: the area of segment 5 is 110, but the map has 100 pixels of it"
    assert told.endswith(said)
    assert evaluation.odd_warning([told]).endswith(f"as officially, but {told}")
    assert evaluation.odd_warning([told] * 4).count(said) == 3
    assert evaluate(*pair_of_areas(tmp_path, 100)).oddities == []
    assert evaluation.odd_warning([]) == ""


def test_segments_that_only_one_of_map_and_json_has_are_told(tmp_path):
    gt, pred = example(tmp_path, images=2)
    before = evaluate(gt, pred)
    edit(gt, lambda data: data["annotations"][1]["segments_info"].append(segment(77, 1, 30)))
    quality = evaluate(gt, pred)
    png = tmp_path / "gt/001.png"
    assert quality.oddities == [
        f"{png}: the area of segment 77 is 30, but the map has 0 pixels of it"
    ]
    assert (quality.counts - before.counts).tolist() == [[0, 0, 0, 1], [0] * 4, [0] * 4]
    edit(gt, lambda data: data["annotations"][1].update(segments_info=[segment(300, 4, 120)]))
    quality = evaluate(gt, pred)  # the predictions of the others are wrong, as officially
    assert quality.oddities == [f"{png}: ids 5, 70000 are in the map but not in segments_info"]
    assert quality.counts[:, 2].tolist() == [1, 0, 1]


def test_images_that_do_not_count_are_told(tmp_path):
    gt, pred = example(tmp_path, images=3)
    edit(gt, lambda data: data.update(images=[{"id": i} for i in range(3)]))
    told = []
    evaluation.read_pairs(gt, pred, warn=told.append)
    assert told == []
    edit(gt, lambda data: data["annotations"].pop(1))
    _, pairs = evaluation.read_pairs(gt, pred, warn=told.append)
    assert [pair.gt_png.name for pair in pairs] == ["000.png", "002.png"]
    assert told == [
        f"{gt} has no annotation for 1 of its 3 images, which do not count: image_id 1",
        f"{pred} has 1 predictions of images that {gt} does not annotate, which do not count: "
        "image_id 1",
    ]


def first_segment(**changes):
    return lambda gt, pred: annotation(gt, lambda a: a["segments_info"][0].update(changes))


STRANGE = {
    "infinite area": (
        first_segment(area=float("inf")),
        r"segments \[70000\] have no 'area', a num",
    ),
    "area nan": (first_segment(area=float("nan")), r"segments \[70000\] have zero area"),
    "area true": (first_segment(area=True), r"segments \[70000\] have no 'area'"),
    "negative id": (first_segment(id=-7), r"every segment needs 'id' .*\('id'\), got .*-7"),
    "id true": (first_segment(id=True), r"every segment needs 'id' .*got .*True"),
    "category true": (first_segment(category_id=True), r"needs .*\('category_id'\)"),
    "crowd as text": (first_segment(iscrowd="yes"), r"segments \[70000\] have a strange iscrowd"),
    "image twice": (
        lambda gt, pred: edit(gt, lambda d: d["annotations"].append(d["annotations"][0])),
        r"/gt\.json: several annotations have the image_id 0",
    ),
    "prediction twice": (
        lambda gt, pred: edit(pred, lambda d: d["annotations"].append(d["annotations"][0])),
        r"/pred\.json: several annotations have the image_id 0",
    ),
    "png twice": (
        lambda gt, pred: annotation(gt, lambda a: a.update(file_name="001.png")),
        r"/gt\.json: several annotations have the file_name 001\.png",
    ),
    "key twice": (
        lambda gt, pred: gt.write_text(gt.read_text().replace("{", '{"annotations": [], ', 1)),
        r"/gt\.json is no valid json \(an object has the key 'annotations' twice\)",
    ),
    "nothing annotated": (
        lambda gt, pred: edit(gt, lambda d: d["annotations"].clear()),
        r"/gt\.json has no annotations",
    ),
    "image of true": (
        lambda gt, pred: annotation(gt, lambda a: a.update(image_id=True)),
        r"/gt\.json: annotation 0 has no 'image_id'",
    ),
    "category id true": (
        lambda gt, pred: edit(gt, lambda d: d["categories"][0].update(id=True)),
        "has no whole number 'id'",
    ),
    "category id negative": (
        lambda gt, pred: edit(gt, lambda d: d["categories"][0].update(id=-1)),
        "has a negative 'id'",
    ),
    "thing of two": (
        lambda gt, pred: edit(gt, lambda d: d["categories"][0].update(isthing=2)),
        "has no whole number 'isthing'",
    ),
    "other categories": (
        lambda gt, pred: edit(pred, lambda d: d["categories"][0].update(id=4, name="cat")),
        r"/pred\.json: categories .* other names in .*/gt\.json: \(4, 'cat'\)",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_would_be_counted_wrongly_is_refused(tmp_path, case):
    change, message = STRANGE[case]
    gt, pred = example(tmp_path, images=2)
    change(gt, pred)
    with pytest.raises(ValueError, match=message) as caught:
        evaluate(gt, pred)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
