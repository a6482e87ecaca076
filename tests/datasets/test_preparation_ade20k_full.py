"""tools/prepare_ade20k_full.py on real and on hand-made images."""

import json
import os
import pickle
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from mmmaskformer.datasets import ADE20KFullDataset
from mmmaskformer.datasets.loading import LoadAnnotations, LoadImageFromFile
from mmmaskformer.datasets.tables import metainfo
from tests.datasets.conftest import writable_copy

TOOL = "prepare_ade20k_full"
META = metainfo("ade20k_full")
CLASS_OF = {number: label for label, number in enumerate(META["category_ids"])}
TRAIN = "images/ADE/training/urban/street/ADE_train_00000001.jpg"
FRAME = "images/ADE/training/home/ADE_frame_00000002.jpg"
VAL = "images/ADE/validation/home/ADE_val_00000001.jpg"


def encode(numbers):
    """Numbers 0..3688 to the pixels of a `_seg.png`: red and green; blue is the instance."""
    numbers = np.asarray(numbers)
    parts = numbers // 256 * 10, numbers % 256, np.full_like(numbers, 9)
    return np.stack(parts, -1).astype(np.uint8)


def write(root, name, numbers, size=None):
    """An image of noise, and what `_seg.png` says of it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*(size or np.shape(numbers)), 3)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)).save(path)
    Image.fromarray(encode(numbers)).save(path.with_name(f"{path.stem}_seg.png"))


@pytest.fixture
def small(tmp_path):
    """One image of each kind, 2x3: wall, sky, tree, nothing, a part, the last number."""
    for name in (TRAIN, FRAME, VAL):
        write(tmp_path, name, [[2978, 2420, 2855], [0, 320, 3688]])
    return tmp_path


def test_small_images_keep_their_size(run_tool, small):
    output = run_tool(TOOL, small)
    assert "labels_512/training: 2 label maps" in output
    assert "labels_512/validation: 1 label maps" in output
    for split, name in (("training", TRAIN), ("training", FRAME), ("validation", VAL)):
        photo = small / name
        with Image.open(small / "labels_512" / split / f"{photo.stem}.png") as labels:
            assert np.asarray(labels).tolist() == [[0, 2, 3], [65535, 65535, 65535]]
        with Image.open(small / "images_512" / split / photo.name) as image:
            assert (image.format, image.size) == ("JPEG", (3, 2))
    assert not list(small.rglob(".*"))


def test_every_class(run_tool, small):
    """All 3689 numbers in one image: each class once, the rest ignored."""
    numbers = np.arange(3689)[None].repeat(2, 0)
    write(small, TRAIN, numbers)
    run_tool(TOOL, small)
    labels = np.asarray(Image.open(small / "labels_512/training/ADE_train_00000001.png"))
    assert labels.tolist() == [[CLASS_OF.get(n, 65535) for n in range(3689)]] * 2
    assert len(set(labels[0]) - {65535}) == 847


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 700), (512, 700)),
        ((513, 513), (512, 512)),
        ((600, 1000), (512, 853)),
        ((1003, 601), (854, 512)),
        ((300, 2000), (300, 2000)),
    ],
)
def test_shortest_side_is_at_most_512(run_tool, small, size, expected):
    """Bilinear image and nearest labels, against both written out for every pixel."""
    numbers = np.random.default_rng(1).choice([2978, 2420, 2855, 0, 320], size)
    write(small, TRAIN, numbers)
    run_tool(TOOL, small)
    labels = np.asarray(Image.open(small / "labels_512/training/ADE_train_00000001.png"))
    image = np.asarray(Image.open(small / "images_512/training/ADE_train_00000001.jpg"))
    assert labels.shape == image.shape[:2] == expected
    rows, columns = (np.arange(n) * old // n for n, old in zip(expected, size, strict=True))
    nearest = numbers[rows][:, columns]
    assert np.array_equal(labels, np.vectorize(lambda n: CLASS_OF.get(n, 65535))(nearest))
    original = np.asarray(Image.open(small / TRAIN)).astype(np.float64)
    for axis, (n, old) in enumerate(zip(expected, size, strict=True)):
        place = np.clip((np.arange(n) + 0.5) * old / n - 0.5, 0, old - 1)
        low = np.minimum(place.astype(int), old - 2)
        weight = np.expand_dims(place - low, [a for a in range(3) if a != axis])
        original = original.take(low, axis) * (1 - weight) + original.take(low + 1, axis) * weight
    ok, jpeg = cv2.imencode(".jpg", np.rint(original[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 75])
    assert ok
    expected_image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert np.abs(image - expected_image).mean() < 4  # roundings, enlarged by the jpeg's


def test_real_images(run_tool, shared, tmp_path):
    """Against labels looked up one by one; the dataset loads what was written."""
    source = shared / "data/ade20k_full_mini/ADE20K_2021_17_01"
    root = writable_copy(source, tmp_path / source.name)
    run_tool(TOOL, root)
    dataset = ADE20KFullDataset(
        data_root=str(root),
        data_prefix=dict(img_path="images_512/training", seg_map_path="labels_512/training"),
        pipeline=[LoadImageFromFile(), LoadAnnotations(ignore_index=65535)],
    )
    assert dataset.ignore_index == 65535
    sizes = {"16869": (512, 683), "16900": (512, 683), "16964": (512, 768)}
    assert len(dataset) == 3
    checked = set()
    for sample in dataset:
        (photo,) = root.rglob(f"street/{sample['img_path'].split('/')[-1]}")
        labels = sample["gt_seg_map"]
        assert labels.dtype == np.uint16
        assert labels.shape == sample["img"].shape[:2] == sizes[photo.stem[-5:]]
        pixels = np.asarray(Image.open(photo.with_name(f"{photo.stem}_seg.png"))).astype(int)
        numbers = pixels[..., 0] // 10 * 256 + pixels[..., 1]
        original = np.full(numbers.shape, 65535)
        for number in np.unique(numbers):
            original[numbers == number] = CLASS_OF.get(number, 65535)
        rows, columns = (
            np.floor(np.arange(n) * (1 / (n / old))).astype(int)
            for n, old in zip(labels.shape, numbers.shape, strict=True)
        )
        assert np.array_equal(labels, original[rows][:, columns])
        shares = [np.bincount(a.ravel(), minlength=65536) / a.size for a in (labels, original)]
        assert np.abs(shares[0] - shares[1]).max() < 0.002
        content = json.loads(photo.with_suffix(".json").read_text(encoding="latin-1"))
        objects = {o["name_ndx"]: o["name"] for o in content["annotation"]["object"]}
        for label in np.unique(labels[labels < 65535]):
            assert objects[META["category_ids"][label]] == META["classes"][label]
            checked.add(META["classes"][label])
    assert len(checked) > 15
    assert {"sky", "building, edifice", "road, route", "tree"} <= checked


def test_stopped_run_goes_on(run_tool, small):
    run_tool(TOOL, small)
    made = [path for kind in ("images", "labels") for path in small.glob(f"{kind}_512/*/*")]
    before = {path: path.read_bytes() for path in made}
    assert len(before) == 6
    photo, label, cut, kept = (
        small / "images_512/training/ADE_train_00000001.jpg",
        small / "labels_512/training/ADE_frame_00000002.png",
        small / "labels_512/validation/ADE_val_00000001.png",
        small / "labels_512/training/ADE_train_00000001.png",
    )
    photo.unlink()
    label.unlink()
    cut.write_bytes(cut.read_bytes()[:50])
    leftover = kept.with_name(f".{kept.name}.{2**31 - 1}")  # no process has this id
    leftover.write_bytes(b"half")
    run_tool(TOOL, small)
    assert {path: path.read_bytes() for path in made} == before
    assert not leftover.exists()
    stamps = [path.stat().st_mtime_ns for path in made]
    run_tool(TOOL, small)
    assert [path.stat().st_mtime_ns for path in made] == stamps


def index_of(root, **changes):
    """Write `index_ade20k.pkl`; names of all classes, and the three images."""
    names = [""] * 3688
    for name, number in zip(META["classes"], META["category_ids"], strict=True):
        names[number - 1] = name
    for number, name in changes.pop("names", {}).items():
        names[number - 1] = name
    files = [os.path.split(f"ADE20K_2021_17_01/{name}") for name in (TRAIN, FRAME, VAL)]
    folders, files = (list(part) for part in zip(*files, strict=True))
    content = {"folder": folders, "filename": files, "objectnames": names, **changes}
    (root / "index_ade20k.pkl").write_bytes(pickle.dumps(content))


def test_index_is_checked(run_tool, small):
    index_of(small)
    run_tool(TOOL, small)
    index_of(small, names={2420: "heaven"})
    error = run_tool(TOOL, small, ok=False)
    assert re.search(r"pkl: object 2420 should be 'sky' \(class 2\), but is 'heaven'$", error)
    index_of(small, objectnames=["sky"] * 3000)
    assert "object 2978 should be 'wall' (class 0)" in run_tool(TOOL, small, ok=False)
    index_of(small, objectnames=["wall"] * 0)
    assert "but is '(none)'" in run_tool(TOOL, small, ok=False)
    index_of(small)
    (small / FRAME).unlink()
    error = run_tool(TOOL, small, ok=False)
    assert re.search(r"1 of 3 images that .*pkl lists are missing, .*ADE_frame_00000002", error)


def test_label_maps_of_somebody_else_are_no_label_maps(run_tool, small):
    """Of the right size, but with other labels; or with those of an image of another name."""
    run_tool(TOOL, small)
    path = small / "labels_512/training/ADE_train_00000001.png"
    for foreign in (np.full((2, 3), 7, np.uint8), np.array([[2, 0, 3], [65535] * 3], np.uint16)):
        Image.fromarray(foreign).save(path)
        error = run_tool(TOOL, small, ok=False)
        assert error == f"error: {path} is not what its annotations say; remove it and start again"
        assert np.array_equal(np.asarray(Image.open(path)), foreign)
    path.unlink()
    run_tool(TOOL, small)
    assert np.asarray(Image.open(path)).tolist() == [[0, 2, 3], [65535, 65535, 65535]]


def test_a_damaged_index_is_an_error(run_tool, small):
    index_of(small)
    path = small / "index_ade20k.pkl"
    whole = path.read_bytes()
    for content, kind in (
        (whole[: len(whole) // 2], ": it ends too early"),
        (b"", ".*"),
        (pickle.dumps({"objectnames": []}), r" \(KeyError: 'folder'"),
        (pickle.dumps([1]), r" \(TypeError"),
        (pickle.dumps({"objectnames": 1, "folder": [], "filename": []}), r" \(TypeError"),
        (pickle.dumps({"objectnames": [], "folder": [1], "filename": [2]}), r" \(TypeError"),
    ):
        path.write_bytes(content)
        error = run_tool(TOOL, small, ok=False)
        assert re.match(rf"error: (checkpoint )?{path} can not be read{kind}.*unpack ", error)
    path.unlink()
    run_tool(TOOL, small)


def test_index_runs_no_code(run_tool, small):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {small}/evil",)

    (small / "index_ade20k.pkl").write_bytes(pickle.dumps({"objectnames": Evil()}))
    error = run_tool(TOOL, small, ok=False)
    assert re.search(r"index_ade20k\.pkl can not be read \(KeyError: 'objectnames'\)", error)
    assert not (small / "evil").exists()


BROKEN = {
    "no labels": (
        TRAIN.replace(".jpg", "_seg.png"),
        os.remove,
        r"ADE_train_00000001_seg\.png is missing",
    ),
    "damaged labels": (
        VAL.replace(".jpg", "_seg.png"),
        lambda path: path.write_bytes(path.read_bytes()[:50]),
        r"ADE_val_00000001_seg\.png can not be read .* damaged",
    ),
    "grey labels": (
        TRAIN.replace(".jpg", "_seg.png"),
        lambda path: Image.new("L", (3, 2)).save(path),
        r"ADE_train_00000001_seg\.png must have 3 channel\(s\) of 8 bits, got \(2, 3\)",
    ),
    "labels of another size": (
        TRAIN.replace(".jpg", "_seg.png"),
        lambda path: Image.new("RGB", (2, 3)).save(path),
        r"_seg\.png is \(3, 2\) \(height, width\), its image .*00000001\.jpg \(2, 3\)",
    ),
    "damaged image": (
        FRAME,
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        r"ADE_frame_00000002\.jpg can not be read .* damaged",
    ),
    "one name twice": (
        TRAIN,
        lambda path: path.rename(path.with_name("ADE_val_00000001.jpg")),
        r"validation/home/ADE_val_00000001\.jpg and .*street/ADE_val_00000001\.jpg share a name",
    ),
    "no validation": (VAL, os.remove, r"images/ADE has no images for validation: download ADE20K"),
    "no folder": (
        "images",
        lambda path: path.rename(path.with_name("pictures")),
        r"images/ADE is missing: download ADE20K_2021_17_01 from https://",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_input_is_one_error_that_names_the_file(run_tool, small, case):
    name, change, message = BROKEN[case]
    change(small / name)
    assert re.search(message, run_tool(TOOL, small, ok=False))
