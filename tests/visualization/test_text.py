"""Text on pictures: it can be read on any colour, and no name covers another."""

import numpy as np
import pytest

from mmmaskformer.visualization.labels import Label, draw_labels, find_corner, place_labels
from mmmaskformer.visualization.legend import Entry, with_legend
from mmmaskformer.visualization.text import (
    box_size,
    contrast,
    draw_box,
    font_size,
    text_color,
    text_width,
)


def test_contrast_is_wcags():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((255, 0, 0), (255, 255, 255)) == pytest.approx(3.998, abs=1e-3)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.478, abs=1e-3)


def test_text_reads_on_any_colour():
    colors = np.random.RandomState(0).randint(0, 256, (2000, 3))
    assert min(contrast(text_color(color), color) for color in colors) >= 4.5
    assert text_color((255, 255, 0)) == (0, 0, 0)
    assert text_color((90, 0, 90)) == (255, 255, 255)


def test_text_has_the_same_share_of_every_picture_and_is_never_tiny():
    assert font_size(480, 640) == 14
    assert font_size(3000, 4000) == 87
    assert font_size(80, 100) == 10


@pytest.mark.parametrize("ground", [(250, 250, 250), (10, 10, 10), (200, 30, 30)])
@pytest.mark.parametrize("photograph", [0, 255])
def test_a_box_has_its_ground_its_ink_and_round_corners(ground, photograph):
    picture = np.full((60, 200, 3), photograph, np.uint8)
    draw_box(picture, (20, 10), "person 0.98", ground, 20)
    width, height = box_size("person 0.98", 20)
    box = picture[10 : 10 + height, 20 : 20 + width]
    ink = text_color(ground)
    assert (box == ink).all(2).sum() > 40
    assert (box == ground).all(2).mean() > 0.5
    assert contrast(ink, ground) >= 4.5
    assert (box[0, 0] == photograph).all()
    outside = np.ones(picture.shape[:2], bool)
    outside[10 : 10 + height, 20 : 20 + width] = False
    assert (picture[outside] == photograph).all()
    used = np.flatnonzero((np.abs(box.astype(int) - ground).sum(2) > 100)[4:-4, 4:-4].any(0))
    assert text_width("person 0.98", 20) * 0.9 < np.ptp(used) <= text_width("person 0.98", 20)


def overlap(first, second):
    return not (
        first[2] <= second[0] or second[2] <= first[0]
        or first[3] <= second[1] or second[3] <= first[1]
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(80, 100), (480, 640), (1500, 2000), (60, 900)])
def test_boxes_do_not_overlap_and_stay_within_the_picture(shape):
    random = np.random.RandomState(1)
    sites = random.rand(40, 2) * shape
    grid = np.stack(np.indices(shape), -1)[:, :, None] if max(shape) < 700 else None
    if grid is None:
        coarse = np.stack(np.indices([edge // 4 for edge in shape]), -1)[:, :, None] * 4
        ids = np.abs(coarse - sites).sum(-1).argmin(-1).repeat(4, 0).repeat(4, 1)
    else:
        ids = np.abs(grid - sites).sum(-1).argmin(-1)
    labels = [
        Label(n, [f"class number {n} 0.99", f"c{n}"], (n, n, n), n % 2 == 0) for n in range(40)
    ]
    size = font_size(*ids.shape)
    placed = place_labels(ids, labels, size)
    assert len(placed) >= (3 if min(shape) < 100 else 12)
    for number, one in enumerate(placed):
        x0, y0, x1, y1 = one.box
        assert (x1 - x0, y1 - y0) == box_size(one.text, size)
        assert x0 >= 0
        assert y0 >= 0
        assert x1 <= ids.shape[1]
        assert y1 <= ids.shape[0]
        assert not any(overlap(one.box, other.box) for other in placed[:number])
    picture = np.full((*ids.shape, 3), 255, np.uint8)
    draw_labels(picture, placed, size)
    for one in placed:
        x0, y0, x1, y1 = one.box
        assert (picture[y0:y1, x0:x1] == one.label.color).all(2).mean() > 0.4


def test_names_stand_where_the_segment_is_widest():
    ids = np.zeros((400, 600), int)
    ids[:, :200] = 1
    ids[100:300, 200:600] = 2
    placed = {one.label.segment: one.box for one in place_labels(
        ids, [Label(1, ["sky"], (0, 0, 0)), Label(2, ["sea"], (0, 0, 0))], 14
    )}  # fmt: skip
    for segment, (x, y) in {1: (100, None), 2: (None, 200)}.items():
        x0, y0, x1, y1 = placed[segment]
        assert x is None or abs((x0 + x1) / 2 - x) <= 3
        assert y is None or abs((y0 + y1) / 2 - y) <= 3
        assert (ids[y0:y1, x0:x1] == segment).all()


def test_a_small_things_name_stands_beside_it():
    mask = np.zeros((100, 100), bool)
    mask[50:58, 40:60] = True
    assert find_corner(mask, True, (10, 30), []) == (40, 35)
    assert find_corner(mask, True, (10, 30), [(30, 38, 70, 48)]) == (58, 35)
    mask[:] = False
    mask[:4, 40:60] = True
    assert find_corner(mask, True, (10, 30), []) == (4, 35)
    assert find_corner(mask, False, (10, 30), [])[0] <= 4
    assert find_corner(mask, True, (10, 130), []) is None  # wider than the picture
    assert find_corner(mask, True, (10, 30), [(0, 0, 100, 100)]) is None


def test_the_first_text_that_fits_in_is_taken():
    ids = np.ones((40, 60), int)
    (placed,) = place_labels(ids, [Label(1, ["a very long name 0.99", "name"], (0, 0, 0))], 10)
    assert placed.text == "name"
    assert place_labels(ids, [Label(1, ["a very long name 0.99"], (0, 0, 0))], 10) == []
    assert place_labels(ids, [Label(2, ["name"], (0, 0, 0))], 10) == []


def test_entries_of_a_legend():
    assert Entry("car", (0, 0, 0), 0.123, 3).text == "car ×3 12%"
    assert Entry("car", (0, 0, 0), 0.004).text == "car <1%"
    picture = np.zeros((50, 300, 3), np.uint8)
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    entries = [Entry("road", colors[n], share) for n, share in enumerate((0.1, 0.2, 0.7))]
    drawn = with_legend(picture, entries)
    assert drawn.shape[1] == 300
    assert np.array_equal(drawn[:50], picture)
    first = [np.argwhere((drawn[50:] == color).all(2))[0][1] for color in colors]
    assert first[2] < first[1] < first[0]  # the largest share comes first
    narrow = with_legend(np.zeros((50, 30, 3), np.uint8), entries)
    assert narrow.shape[1] > 30
    assert narrow.shape[0] > drawn.shape[0]  # one below the other
    assert with_legend(picture, []) is picture
