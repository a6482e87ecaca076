"""Counts of files against slow loops and known tables; every fault names its file."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmmaskformer.dataset_check import inspection
from mmmaskformer.dataset_check.inspection import (
    Counts,
    Reading,
    inspect_in_processes,
    inspect_samples,
)
from mmmaskformer.dataset_check.report import class_rows, class_table, ranges, summary, write_csv
from mmmaskformer.datasets import CamVidDataset, COCOPanopticDataset, PanopticDataset
from mmmaskformer.datasets.loading import map_labels
from mmmaskformer.utils.png_ids import ids_to_colors
from tests.datasets.conftest import one_image, segment


def make_sample(root, labels, name="a", image=None, **more):
    labels = np.asarray(labels)
    if image is None:
        image = np.random.default_rng(0).integers(0, 255, (*labels.shape[:2], 3), dtype=np.uint8)
    paths = {"img_path": str(root / f"{name}.jpg"), "seg_map_path": str(root / f"{name}.png")}
    cv2.imwrite(paths["img_path"], image)
    cv2.imwrite(paths["seg_map_path"], labels)
    return {**paths, "seg_fields": [], **more}


def slow_counts(maps, ignore_index):
    """Pixels and images of each label, one pixel at a time; ignored pixels."""
    pixels, images, ignored = Counter(), Counter(), 0
    for labels in maps:
        seen = set()
        for value in labels.ravel().tolist():
            if value == ignore_index:
                ignored += 1
            else:
                pixels[value] += 1
                seen.add(value)
        images.update(seen)
    return pixels, images, ignored


@pytest.mark.parametrize(
    ("dtype", "classes", "ignored"), [(np.uint8, 5, 255), (np.uint16, 847, 65535)]
)
@pytest.mark.parametrize("workers", [1, 2])
def test_counts_equal_a_loop_over_pixels(tmp_path, dtype, classes, ignored, workers):
    rng = np.random.default_rng(1)
    maps = [rng.integers(0, classes, (9, 7 + i)).astype(dtype) for i in range(20)]
    for labels in maps[:5]:
        labels[rng.random(labels.shape) < 0.3] = ignored
    maps[5][:] = ignored
    samples = [make_sample(tmp_path, labels, str(i)) for i, labels in enumerate(maps)]
    total = Counts()
    for counts in inspect_in_processes(samples, Reading(classes, ignored), workers):
        total += counts
    pixels, images, void = slow_counts(maps, ignored)
    assert (total.pixels, total.images, total.ignored) == (pixels, images, void)
    assert total.values == slow_counts(maps, None)[0]
    assert (total.files, total.annotated, total.problems) == (20, 20, {})
    assert total.wholly_ignored == [samples[5]["seg_map_path"]]
    assert total.total == sum(labels.size for labels in maps)
    row = class_rows(total, [f"c{i}" for i in range(classes)])[3]
    assert row["share"] == pixels[3] / sum(pixels.values())
    assert (row["class"], row["pixels"], row["images"]) == ("c3", pixels[3], images[3])


def test_processes_start_though_opencv_has_threads(tmp_path):
    threads = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (1500, 1500))  # now they run
        sample = make_sample(tmp_path, np.zeros((3, 3), np.uint8))
        counts = list(inspect_in_processes([sample] * 20, Reading(1), 2))
        assert [c.pixels[0] for c in counts] == [8 * 9, 8 * 9, 4 * 9]
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)


def test_zero_is_reduced_and_classes_are_mapped_as_in_training(tmp_path):
    labels = np.array([[0, 1, 2, 3, 3, 255]], np.uint8)
    sample = make_sample(tmp_path, labels, reduce_zero_label=True, label_map={0: 1, 1: 255, 2: 0})
    counts = inspect_samples([sample], Reading(2))
    assert counts.pixels == {1: 1, 0: 2}
    assert counts.ignored == 3
    assert counts.values == {0: 1, 1: 1, 2: 1, 3: 2, 255: 1}
    assert counts.problems == {}
    reading = Reading(3, ignore_index=65535, filled=65535)
    wide = make_sample(tmp_path, np.array([[0, 3, 65535]], np.uint16), reduce_zero_label=True)
    counts = inspect_samples([wide], reading)
    assert (counts.pixels, counts.ignored, counts.problems) == ({2: 1}, 2, {})


def cut(path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def cut_image(root, sample):
    cut(sample["img_path"])


def rewrite(array):
    return lambda root, sample: cv2.imwrite(sample["seg_map_path"], np.asarray(array))


def floats(root, sample):
    sample["seg_map_path"] = str(root / "float.tif")
    Image.fromarray(np.full((30, 40), 0.5, np.float32)).save(sample["seg_map_path"])


def remove(key):
    return lambda root, sample: (root / sample[key].split("/")[-1]).unlink()


def overwrite(key, content):
    return lambda root, sample: (root / sample[key].split("/")[-1]).write_bytes(content)


FAULTS = {
    "truncated image": (cut_image, inspection.IMAGE, "a.jpg can not be read (OSError: "),
    "no image": (
        overwrite("img_path", b"text"), inspection.IMAGE,
        "a.jpg can not be read (UnidentifiedImageError); it is damaged",
    ),
    "cut labels": (
        lambda root, sample: cut(sample["seg_map_path"]), inspection.ANNOTATION,
        "a.png can not be read (OSError: ",
    ),
    "missing image": (remove("img_path"), inspection.MISSING, "a.jpg does not exist"),
    "missing labels": (remove("seg_map_path"), inspection.MISSING, "a.png does not exist"),
    "empty labels": (
        overwrite("seg_map_path", b""), inspection.ANNOTATION,
        "a.png can not be read (UnidentifiedImageError); it is damaged",
    ),
    "another size": (
        rewrite(np.zeros((40, 30), np.uint8)), inspection.SIZE,
        "a.png is 40x30 (height x width), but its image",
    ),
    "colours": (
        rewrite(np.ones((30, 40, 3), np.uint8)), inspection.ANNOTATION, "must have one channel",
    ),
    "no integers": (floats, inspection.ANNOTATION, "float.tif must hold integers"),
    "strange labels": (
        rewrite(np.full((30, 40), 7, np.uint8)), inspection.RANGE,
        "a.png: label values [7] are outside the allowed range [0, 4] (ignored: 255)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_every_fault_is_found_and_the_other_files_are_read(tmp_path, case):
    change, kind, message = FAULTS[case]
    good = make_sample(tmp_path, np.full((30, 40), 4, np.uint8), "good")
    bad = make_sample(tmp_path, np.full((30, 40), 3, np.uint8), "a")
    change(tmp_path, bad)
    counts = inspect_samples([bad, good], Reading(5))
    assert list(counts.problems) == [kind]
    (line,) = counts.problems[kind]
    assert message in line
    assert str(tmp_path) in line
    assert "\n" not in line
    assert counts.files == 2
    assert counts.pixels[4] == 1200


@pytest.mark.parametrize(
    ("ignored", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)]
)
def test_labels_take_no_more_bits_than_they_need(ignored, dtype):
    labels = np.array([0, 1, 7], np.uint16)
    mapped = map_labels(labels, ignored, reduce_zero_label=True)
    assert (mapped.tolist(), mapped.dtype) == ([ignored, 0, 6], dtype)
    mapped = map_labels(np.append(labels, np.uint16(ignored)), 3)
    assert (mapped.tolist(), mapped.dtype) == ([0, 1, 7, ignored], dtype)
    mapped = map_labels(labels, 3, label_map={7: ignored})
    assert (mapped.tolist(), mapped.dtype) == ([0, 1, ignored], dtype)


def test_faults_of_one_image_are_both_found(tmp_path):
    sample = make_sample(tmp_path, np.full((30, 40), 9, np.uint8))
    cut_image(tmp_path, sample)
    counts = inspect_samples([sample], Reading(5))
    assert set(counts.problems) == {inspection.IMAGE, inspection.RANGE}


def test_labels_that_mmseg_would_cut_to_eight_bits_are_named(tmp_path):
    sample = make_sample(tmp_path, np.array([[300, 65535]], np.uint16))
    counts = inspect_samples([sample], Reading(847, 65535, eight_bits=True))
    assert "a.png has labels up to 65535" in counts.problems[inspection.RANGE][0]
    assert not inspect_samples([sample], Reading(847, 65535)).problems
    sample = make_sample(tmp_path, np.array([[3, 255]], np.uint16))  # eight bits suffice
    assert not inspect_samples([sample], Reading(847, 65535, eight_bits=True)).problems


def test_images_to_predict_have_no_annotations(tmp_path):
    sample = make_sample(tmp_path, np.zeros((3, 3), np.uint8))
    del sample["seg_map_path"]
    counts = inspect_samples([sample], Reading(5))
    assert (counts.files, counts.annotated, counts.total, counts.problems) == (1, 0, 0, {})


def panoptic_samples(folder):
    dataset = PanopticDataset(**folder.arguments())
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_panoptic_counts_of_a_hand_made_image(folder):
    # Classes: cat (thing), sky (stuff), dog (thing); the dog is a crowd.
    one_image(folder).add("b.png", [[3, 3, 4]], [segment(3, 30, 2), segment(4, 30)])
    folder.add("c.png", [[0, 0]], [])
    folder.add("d.png", [[6]], [segment(6, 12, 1, 1)])
    counts = inspect_samples(panoptic_samples(folder), Reading(3, panoptic=True))
    assert counts.pixels == {0: 2 + 3, 1: 2}
    assert counts.segments == {0: 3, 1: 1}
    assert counts.images == {0: 2, 1: 1}
    assert counts.segments_of_image == {2: 2, 0: 2}
    assert (counts.crowds, counts.ignored, counts.problems) == (2, 2 + 2 + 1, {})
    assert counts.wholly_ignored == [str(folder.root / f"maps/{name}.png") for name in "cd"]
    line = summary("train", counts, [True, False, True])
    assert "4 images, 4 annotations read; 41.7% of the pixels ignored" in line
    assert "segments per image min 0, median 1, max 2; 3 thing and 1 stuff" in line
    assert "2 crowds" in line


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        ([[1000, 77, 5], [0, 9, 5]], inspection.SEGMENTS, "ids that its json lacks: 77"),
        ([[1000, 1000, 9], [0, 9, 9]], inspection.SEGMENTS, "lacks ids that its json has: 5"),
        ([[1000, 9, 5]], inspection.SIZE, "a.png is 1x3 (height x width)"),
    ],
)
def test_panoptic_faults_name_file_and_ids(folder, ids, kind, message):
    samples = panoptic_samples(one_image(folder))
    Image.fromarray(ids_to_colors(np.array(ids))).save(folder.root / "maps/a.png")
    counts = inspect_samples(samples, Reading(3, panoptic=True))
    assert list(counts.problems) == [kind]
    assert message in counts.problems[kind][0]
    assert "a.png" in counts.problems[kind][0]
    assert counts.annotated == 0


def test_panoptic_classes_beyond_the_head_are_named(folder):
    counts = inspect_samples(panoptic_samples(one_image(folder)), Reading(1, panoptic=True))
    (line,) = counts.problems[inspection.RANGE]
    assert "a.png: classes [1] of segments are outside the allowed range [0, 0]" in line


def test_ranges_and_table(tmp_path):
    assert ranges([0, 1, 2, 4, 7, 255]) == "0..2, 4, 7, 255"
    counts = Counts(pixels=Counter({0: 3, 2: 1, 7: 4}), images=Counter({0: 1, 2: 1, 7: 1}))
    rows = class_rows(counts, ["a", "[b]", "c"], [True, False, False])
    assert [(r["index"], r["class"], r["kind"], r["share"]) for r in rows] == [
        (0, "a", "thing", 0.375), (1, "[b]", "stuff", 0), (2, "c", "stuff", 0.125),
        (7, "(no class)", "", 0.5),
    ]  # fmt: skip
    columns = {column.header: list(column.cells) for column in class_table(rows).columns}
    assert columns["% of labelled"] == ["37.5", "never", "12.5", "50"]
    write_csv(tmp_path / "c.csv", {"train": rows[:1], "val": rows[1:2]})
    assert (tmp_path / "c.csv").read_text().split() == [
        "split,index,class,kind,pixels,share,images,segments",
        "train,0,a,thing,3,0.375,1,0",
        "val,1,[b],stuff,0,0.0,0,0",
    ]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_camvid_equals_its_table(shared, split):
    """Pixels and images of each class, from the file that came with the data."""
    root = shared / "data/camvid"
    column = ["train", "val", "test"].index(split)
    table = {}
    for line in (root / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].isdigit():
            table[int(cells[0])] = int(cells[3 + column]), int(cells[6 + column])
    assert len(table) == 12
    dataset = CamVidDataset(
        data_root=str(root),
        data_prefix=dict(img_path=f"images/{split}", seg_map_path=f"annotations/{split}"),
    )
    counts = inspect_samples([dataset.get_data_info(i) for i in range(len(dataset))], Reading(11))
    assert {i: (counts.pixels[i], counts.images[i]) for i in range(11)} == {
        i: table[i] for i in range(11)
    }
    assert counts.ignored == table[255][0]
    assert not counts.problems


@pytest.mark.parametrize(
    ("split", "things", "stuff", "crowds", "classes"),
    [("train", 746, 365, 6, 119), ("val", 712, 366, 5, 124)],
)
def test_coco_sample_equals_its_table(shared, split, things, stuff, crowds, classes):
    root = shared / "data/coco_panoptic_mini/coco"
    dataset = COCOPanopticDataset(
        ann_file=f"annotations/panoptic_{split}2017.json",
        data_root=str(root),
        data_prefix=dict(img_path=f"{split}2017", seg_map_path=f"panoptic_{split}2017"),
    )
    counts = inspect_samples(
        [dataset.get_data_info(i) for i in range(len(dataset))], Reading(133, panoptic=True)
    )
    isthing = dataset.metainfo["isthing"]
    number = sum(n for label, n in counts.segments.items() if isthing[label])
    # The table counts crowds as things.
    assert (number + counts.crowds, counts.crowds) == (things, crowds)
    assert sum(counts.segments.values()) - number == stuff
    assert len(counts.segments) == classes
    assert (counts.files, counts.annotated, counts.problems) == (100, 100, {})
