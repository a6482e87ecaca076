"""The files of a prediction: what is in them, and whom they may not overwrite."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from mmmaskformer.evaluation import read_ids
from mmmaskformer.evaluation.coco_panoptic import count_pairs, read_pairs
from mmmaskformer.inference import Prediction
from mmmaskformer.inference.saving import file_stem
from tests.inference.made import IDS, META, image, predicted


def test_files_say_what_the_prediction_says(tmp_path):
    prediction = predicted()
    files = prediction.save(tmp_path / "out")
    names = ["street_overlay.jpg", "street_labels.png", "street_panoptic.png", "street.json"]
    assert [path.name for path in files.values()] == names
    assert sorted(os.listdir(tmp_path / "out")) == sorted(names)
    assert list(files) == ["overlay", "labels", "panoptic", "json"]
    labels = Image.open(files["labels"])
    assert labels.mode == "L"
    assert np.array_equal(labels, prediction.semantic)
    assert np.array_equal(read_ids(files["panoptic"]), IDS)
    overlay = np.asarray(Image.open(files["overlay"])).astype(int)
    assert np.abs(overlay - prediction.plot()).mean() < 3
    content = json.loads(files["json"].read_text())
    assert content["segments"] == prediction.to_json()["segments"]
    assert content["files"] == dict(zip(["overlay", "labels", "panoptic"], names, strict=False))


def test_cocos_evaluation_reads_the_json(tmp_path):
    prediction = predicted()
    files = prediction.save(tmp_path)
    content = json.loads(files["json"].read_text())
    (tmp_path / "truth.json").write_text(
        json.dumps(
            {
                "images": [{"id": "street", "file_name": "street.jpg", "height": 60, "width": 80}],
                "annotations": content["annotations"],
                "categories": [
                    {"id": number, "name": name, "isthing": int(thing)}
                    for number, name, thing in zip(
                        META["category_ids"], META["classes"], META["isthing"], strict=True
                    )
                ],
            }
        )
    )
    pairs = read_pairs(tmp_path / "truth.json", files["json"], tmp_path, tmp_path)
    quality = count_pairs(*pairs)
    assert quality.compute()["All"]["pq"] == 1


def test_labels_of_many_classes_have_16_bits(tmp_path):
    classes = [f"class {number}" for number in range(300)]
    meta = dict(classes=classes, palette=[[9, 9, 9]] * 300)
    labels = np.full((6, 8), 299)
    labels[0] = 255
    labels[1] = 7
    prediction = Prediction(image((6, 8)), "a", object(), [], meta, labels)
    files = prediction.save(tmp_path)
    assert list(files) == ["overlay", "labels", "json"]
    assert np.array_equal(np.asarray(Image.open(files["labels"])).astype(int), labels)
    kept = Prediction(
        image((6, 8)), "b", object(), [], meta, labels, classes=["class 255", "class 7"]
    ).save(tmp_path)
    written = np.asarray(Image.open(kept["labels"])).astype(int)
    assert written[:3, 0].tolist() == [255, 7, 65535]


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path):
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        names.append(tmp_path / folder / "x.jpg")
        Image.fromarray(image()).save(names[-1])
    out = tmp_path / "out"
    first, second = (predicted(name).save(out)["json"] for name in names)
    assert (first.name, second.name) == ("x.json", "x-2.json")
    assert predicted(names[1]).save(out)["json"] == second  # its own are replaced
    assert predicted(names[0]).save(out)["json"] == first
    assert len(os.listdir(out)) == 8
    arrays = [predicted("array 0", image=image(value=value)).save(out)["json"] for value in (1, 2)]
    assert [path.name for path in arrays] == ["array_0.json", "array_0-2.json"]
    (out / "mine.json").write_text('{"not": "ours"}')
    (out / "bad.json").write_text("{")
    for name in ("mine", "bad"):
        assert predicted(name).save(out)["json"].name == f"{name}-2.json"
    assert (out / "mine.json").read_text() == '{"not": "ours"}'


def test_results_do_not_come_among_the_images(tmp_path):
    path = tmp_path / "x.jpg"
    Image.fromarray(image()).save(path)
    with pytest.raises(ValueError, match="written among the images of .*; name another folder"):
        predicted(path).save(tmp_path / "." / "sub" / "..")
    assert os.listdir(tmp_path) == ["x.jpg"]
    assert predicted(path).save(tmp_path / "out", "trip/one")["json"] == tmp_path.joinpath(
        "out/trip/one.json"
    )
    for name in ("../one", "/one", ""):
        with pytest.raises(ValueError, match="name must be the beginning of a file's name"):
            predicted(path).save(tmp_path / "out", name)


def test_what_can_not_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        predicted().save(tmp_path / "file")
    out = tmp_path / "out"

    def full(self, stream, *_, **__):
        stream.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match=r"street_overlay\.jpg"):
        predicted().save(out)
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("photos/street.jpg", "street"),
        ("photos/v1.2", "v1.2"),
        ("https://a.org/x/My%20cat.PNG?size=3", "My_cat"),
        ("street.mp4 frame 3", "street.mp4_frame_3"),
        ("https://a.org/", "image"),
        ("..", "image"),
        ("a" * 300, "a" * 100),
    ],
)
def test_names_of_files(name, stem):
    assert file_stem(name) == stem
