"""Colours, borders, names and legends of pictures, at points where the right answer is known."""

import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmmaskformer.evaluation import read_ids
from mmmaskformer.registry import VISUALIZERS
from mmmaskformer.visualization import Style, panoptic_overlay, resized, semantic_overlay
from mmmaskformer.visualization.labels import Label, place_labels
from mmmaskformer.visualization.painting import renumbered, segment_boxes, shade
from mmmaskformer.visualization.text import font_size

PALETTE = [[200, 40, 40], [40, 160, 60]]
META = dict(classes=["car", "grass"], palette=PALETTE, isthing=[True, False])
IDS = np.zeros((40, 60), np.int32)
IDS[5:35, :20] = 7
IDS[5:35, 20:40] = 9
IDS[5:35, 40:] = 4
SEGMENTS = [
    dict(id=7, category_id=0, score=0.9),
    dict(id=9, category_id=0),
    dict(id=4, category_id=1),
]
IMAGE = np.full((40, 60, 3), 100, np.uint8)
BARE = Style(labels=False, boundaries=False)
LINED = Style(labels=False)


def mixed(color, opacity=0.6):
    return (1 - opacity) * 100 + opacity * np.array(color, float)


def near(pixel, wanted, by=1):
    return np.abs(pixel.astype(float) - wanted).max() <= by


def test_segments_of_a_class_have_shades_of_its_colour():
    shades = [tuple(shade(PALETTE[0], n)) for n in range(30)]
    assert shades[0] == tuple(PALETTE[0])
    assert len(set(shades)) == 30
    red = np.array(shades, int)
    assert (red[:, 0] > red[:, 1:].max(1)).all()


@pytest.mark.parametrize("opacity", [0, 0.3, 0.6, 1])
def test_colours_are_mixed_with_the_image(opacity):
    painted = panoptic_overlay(IMAGE, IDS, SEGMENTS, META, Style(opacity, False, boundaries=False))
    assert painted.shape == IMAGE.shape
    assert near(painted[10, 5], mixed(PALETTE[0], opacity))  # the first of its class
    assert near(painted[10, 30], mixed(shade(PALETTE[0], 1), opacity))
    assert near(painted[10, 50], mixed(PALETTE[1], opacity))
    assert painted[0, 0].tolist() == [100] * 3  # void
    assert IMAGE.min() == IMAGE.max() == 100


def test_things_have_white_smooth_borders_and_stuff_has_none():
    bare = panoptic_overlay(IMAGE, IDS, SEGMENTS, META, BARE)
    lined = panoptic_overlay(IMAGE, IDS, SEGMENTS, META, LINED)
    # Between the cars, between car and grass, above a car.
    for place in ((10, 19), (10, 20), (10, 39), (10, 40), (4, 10), (5, 10)):
        assert lined[place].min() > 200, place
    # Between grass and void, at the edge of the picture, inside.
    for place in ((4, 50), (5, 50), (10, 0), (10, 59), (10, 10), (10, 30), (0, 0)):
        assert np.array_equal(lined[place], bare[place]), place
    steps = np.arange(40)[:, None] > np.arange(60) * 0.3 + 5  # a slanted edge
    line = panoptic_overlay(IMAGE, np.where(steps, 7, 0), SEGMENTS[:1], META, Style(0, False))
    whites = line[..., 0].astype(int)
    assert len(np.unique(whites)) > 6  # pixels that the line covers in part
    assert np.abs(np.diff(whites.sum(0)))[2:-2].max() < 80  # as much of it in every column


def test_classes_have_borders_where_there_are_no_things():
    labels = np.where(IDS == 4, 1, 0)
    labels[:6] = 255
    painted = semantic_overlay(IMAGE, labels, META, LINED)
    assert near(painted[20, 5], mixed(PALETTE[0]))
    assert near(painted[20, 55], mixed(PALETTE[1]))
    assert painted[20, 39].min() > 200
    assert painted[20, 40].min() > 200
    assert painted[0, 5].tolist() == [100] * 3  # a label without a class has no colour
    only = semantic_overlay(IMAGE, labels, META, Style(labels=False, classes=[1]))
    assert only[20, 5].tolist() == [100] * 3
    assert near(only[20, 55], mixed(PALETTE[1]))


def test_names_are_written_into_their_segments():
    large = [np.kron(part, np.ones((8, 8), int)) for part in (IDS,)][0]
    image = np.full((*large.shape, 3), 100, np.uint8)
    bare = panoptic_overlay(image, large, SEGMENTS, META, BARE)
    named = panoptic_overlay(image, large, SEGMENTS, META, Style(boundaries=False))
    changed = (named != bare).any(2)
    for segment in (7, 9, 4):
        assert changed[large == segment].sum() > 200
    assert not changed[large == 0].any()
    without = panoptic_overlay(image, large, SEGMENTS, META, Style(boundaries=False, scores=False))
    differ = (without != named).any(2)
    assert differ[large == 7].any()
    assert not differ[large != 7].any()  # the others have no score
    tiny = np.zeros((40, 60), np.int32)
    tiny[3:6, 3:6] = 7
    pictures = [panoptic_overlay(IMAGE, tiny, SEGMENTS[:1], META, s) for s in (BARE, Style())]
    assert not (pictures[0] != pictures[1])[8:].any()  # nothing is written


def test_a_legend_stands_below():
    picture = panoptic_overlay(IMAGE, IDS, SEGMENTS, META, Style(labels=False, legend=True))
    plain = panoptic_overlay(IMAGE, IDS, SEGMENTS, META, LINED)
    assert np.array_equal(picture[:40, :60], plain)
    for color in PALETTE:
        assert (picture[40:] == color).all(2).sum() > 30
    below = [np.flatnonzero((picture[40:] == color).all(2).any(1))[0] for color in PALETTE]
    assert below[0] < below[1]  # cars have the larger share


def test_ids_of_any_size_are_renumbered_and_boxed():
    for ids in (IDS, IDS.astype(np.int64) * 1_000_003, IDS - 5):
        known, index = renumbered(ids)
        assert np.array_equal(np.array(known)[index], ids)
        found = segment_boxes(ids)
        for segment in known:
            rows, columns = np.nonzero(ids == segment)
            wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert found[segment] == wanted


def test_small_pictures_grow_and_large_ones_shrink():
    image, ids = resized(IMAGE, IDS)
    assert image.shape == (320, 480, 3)
    assert ids[4:-4:8, 4:-4:8].shape == (39, 59)
    assert np.array_equal(ids[3::8, 3::8], IDS)  # near the middle of each pixel
    assert resized(image, ids)[1] is ids
    small, fewer = resized(image, ids, most=240)
    assert small.shape == (160, 240, 3)
    assert np.array_equal(fewer, ids[::2, ::2])


def test_opacity_is_a_share():
    with pytest.raises(ValueError, match="opacity must be from 0 to 1, got 1.5"):
        Style(opacity=1.5)


@pytest.mark.parametrize("kind", ["PanopticSegVisualizer", "PanopticDetVisualizer"])
def test_visualizer_puts_truth_and_result_side_by_side(kind, tmp_path):
    visualizer = VISUALIZERS.build(
        dict(type=f"mmmaskformer.{kind}", name=f"{kind}_{tmp_path}", alpha=0.6)
    )
    visualizer.dataset_meta = META
    image = np.full((40, 60, 3), 100, np.uint8)
    side = BaseDataElement(ids=torch.from_numpy(IDS), segments_info=SEGMENTS)
    empty = BaseDataElement(ids=torch.zeros(40, 60, dtype=torch.int32), segments_info=[])
    sample = SegDataSample(gt_panoptic_seg=side, pred_panoptic_seg=empty)
    visualizer.add_datasample("x", image, sample, out_file=str(tmp_path / "x.png"))
    drawn = visualizer.get_image()
    assert drawn.shape == (40, 120, 3)
    assert np.array_equal(drawn[:, :60], panoptic_overlay(image, IDS, SEGMENTS, META))
    assert (tmp_path / "x.png").is_file()
    visualizer.add_datasample("x", image, sample, draw_gt=False)
    assert visualizer.get_image().shape == (40, 60, 3)


@pytest.mark.parametrize("labelled", [True, False])
def test_visualizer_draws_label_maps_the_same_way(tmp_path, labelled):
    visualizer = VISUALIZERS.build(
        dict(
            type="mmmaskformer.PanopticSegVisualizer",
            name=f"plain_{tmp_path}_{labelled}",
            alpha=0.3,
        )
    )
    visualizer.dataset_meta = dict(classes=META["classes"], palette=PALETTE)
    labels = torch.ones(1, 40, 60).long()
    sample = SegDataSample(
        pred_sem_seg=PixelData(data=labels), gt_sem_seg=PixelData(data=labels * 0)
    )
    options = dict(out_file=str(tmp_path / "x.png"), with_labels=labelled)
    visualizer.add_datasample("x", IMAGE, sample, **options)
    drawn = visualizer.get_image()
    assert drawn.shape == (40, 120, 3)
    for half, label in ((drawn[:, :60], 0), (drawn[:, 60:], 1)):
        wanted = semantic_overlay(
            IMAGE, np.full((40, 60), label), visualizer.dataset_meta, Style(0.3, labels=labelled)
        )
        assert np.array_equal(half, wanted)
    assert (tmp_path / "x.png").is_file()


def test_visualizer_leaves_other_samples_to_mmseg(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        SegLocalVisualizer, "add_datasample", lambda *arguments, **_: seen.append(arguments[3])
    )
    visualizer = VISUALIZERS.build(
        dict(type="mmmaskformer.PanopticSegVisualizer", name=f"other_{tmp_path}")
    )
    visualizer.dataset_meta = META
    smaller = SegDataSample(pred_sem_seg=PixelData(data=torch.ones(1, 20, 30).long()))
    for sample in (SegDataSample(), smaller):
        visualizer.add_datasample("x", IMAGE, sample)
        assert seen.pop() is sample


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3, 2), (700, 5)])
@pytest.mark.parametrize("segments", [[], SEGMENTS])
def test_pictures_of_any_shape(shape, segments):
    image, ids = np.full((*shape, 3), 100, np.uint8), np.full(shape, 7)
    painted = panoptic_overlay(image, ids, segments, META)
    assert painted.shape == image.shape
    assert near(painted[0, 0], mixed(PALETTE[0]) if segments else 100)
    assert panoptic_overlay(image, ids, segments, META, Style(legend=True)).shape[0] >= shape[0]


def test_large_segments_of_photographs_have_their_names(shared):
    """On real photographs nearly everything that is not small is named, and no name twice."""
    folder = shared / "data/coco_panoptic_mini/coco"
    entries = json.loads((folder / "annotations/panoptic_val2017.json").read_text())["annotations"]
    large = named = 0
    for entry in entries[:12]:
        ids = read_ids(folder / "panoptic_val2017" / entry["file_name"])
        known, index = renumbered(ids)
        numbers = [known.index(segment["id"]) for segment in entry["segments_info"]]
        labels = [Label(n, ["a long name 0.99", "name"], (0, 0, 0)) for n in numbers]
        placed = [one.label.segment for one in place_labels(index, labels, font_size(*ids.shape))]
        assert len(set(placed)) == len(placed)
        wanted = {n for n in numbers if (index == n).mean() > 0.01}
        large += len(wanted)
        named += len(wanted & set(placed))
    assert large > 50
    assert named > 0.95 * large
