"""Figures of label maps and of queries, and the user's matplotlib, which they leave alone."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmmaskformer.visualization.panels import label_panels, overlay_panels
from mmmaskformer.visualization.queries import COLORS, QueryMasks, query_panels
from tests.conftest import ROOT

IMAGES = [np.full((6, 8, 3), value, np.uint8) for value in (50, 100)]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written, in their order."""
    written = []
    save = Figure.savefig

    def record(self, *arguments, **options):
        written.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return written


def test_a_row_of_panels_is_an_image_and_its_label_maps(tmp_path, figures):
    labels = np.zeros((6, 8), int)
    labels[:, 4:] = 1
    palette = [[200, 40, 40], [40, 160, 60]]
    columns = {"image": IMAGES, "ground truth": [labels, labels], "mine": [labels, 1 - labels]}
    label_panels(tmp_path / "a.png", columns, ["car", "grass"], palette, ["best", "worst"])
    (figure,) = figures
    shown = [axis.images[0].get_array() for axis in figure.axes]
    assert len(shown) == 6
    assert np.array_equal(shown[0], IMAGES[0])
    assert np.array_equal(shown[3], IMAGES[1])
    assert shown[2][0, 0].tolist() == palette[0]
    assert shown[5][0, 0].tolist() == palette[1]
    assert [axis.get_title() for axis in figure.axes[:3]] == ["image", "ground truth", "mine"]
    beside = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert beside == [["best"], [], [], ["worst"], [], []]
    assert [text.get_text() for text in figure.legends[0].texts] == ["car", "grass"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_queries_are_named_and_painted_over_a_grey_image(tmp_path, figures):
    masks = np.zeros((2, 6, 8), bool)
    masks[0, :, :3] = masks[1, :, 2:5] = True
    found = QueryMasks([4, 9], ["car", "bus"], [0.9, 0.75], masks)
    nothing = QueryMasks([], [], [], np.zeros((0, 6, 8), bool))
    query_panels(tmp_path / "q.png", IMAGES, {"mine": [found, nothing]})
    (figure,) = figures
    _, answers, _, empty = figure.axes
    painted = answers.images[0].get_array()
    assert painted[0, 7].tolist() == [50] * 3
    first, second = COLORS[:2].astype(float)
    below = 0.4 * 50 + 0.6 * second
    for column, wanted in {
        0: 0.4 * 50 + 0.6 * first,
        2: 0.4 * below + 0.6 * first,  # where masks overlap, the first is on top
        4: below,
    }.items():
        assert np.abs(painted[0, column].astype(float) - wanted).max() <= 1
    names = [text.get_text() for text in answers.get_legend().texts]
    assert names == ["query 4: car 0.90", "query 9: bus 0.75"]
    assert [text.get_text() for text in empty.texts] == ["no query"]
    query_panels(tmp_path / "q.png", IMAGES, {"mine": [found, nothing]}, hide_images=True)
    alone = figures[1].axes
    assert [axis.get_title() for axis in alone] == ["mine", ""]
    assert alone[1].images[0].get_array().tolist() == [[[225] * 3] * 8] * 6


def test_a_query_has_the_same_colour_in_every_image(tmp_path, figures):
    masks = np.zeros((2, 6, 8), bool)
    masks[0, :, :3] = masks[1, :, 5:] = True
    first = QueryMasks([4, 9], ["car", "bus"], [0.9, 0.75], masks)
    second = QueryMasks([9, 4], ["bus", "car"], [0.8, 0.7], masks[::-1])
    query_panels(tmp_path / "q.png", IMAGES, {"mine": [first, second]}, hide_images=True)
    upper, lower = figures[0].axes
    assert np.array_equal(upper.images[0].get_array(), lower.images[0].get_array())
    colors = [
        {text.get_text()[:7]: patch.get_facecolor() for text, patch in zip(*parts, strict=True)}
        for legend in (upper.get_legend(), lower.get_legend())
        for parts in [(legend.texts, legend.get_patches())]
    ]
    assert colors[0] == colors[1]
    assert len(set(colors[0].values())) == 2


def test_pictures_stand_in_columns_below_their_titles():
    rows = [[np.full((40, 50, 3), value + n, np.uint8) for n in range(2)] for value in (50, 100)]
    sheet = overlay_panels(rows, ["image", "mine"], gap=8)
    top = sheet.shape[0] - 2 * (40 + 8)
    assert sheet.shape == (top + 96, 2 * 50 + 3 * 8, 3)
    for row in range(2):
        for column in range(2):
            y, x = top + 48 * row, 8 + 58 * column
            assert (sheet[y : y + 40, x : x + 50] == rows[row][column]).all()
    for column in range(2):
        title = sheet[:top, 8 + 58 * column : 58 + 58 * column]
        assert title.min() < 100
    assert sheet[top:, 58:66].min() == 255


UNTOUCHED = """
import sys
import matplotlib
matplotlib.use("svg")
import numpy as np
import mmmaskformer
from mmmaskformer.registry import VISUALIZERS
VISUALIZERS.get("mmmaskformer.PanopticSegVisualizer")  # imports the places of all of them
names = sorted(VISUALIZERS.module_dict)
found = [VISUALIZERS.get(name).__name__ for name in names]
from mmmaskformer.dataset_check.histogram import class_histogram
from mmmaskformer.visualization.panels import label_panels
from mmmaskformer.visualization.queries import QueryMasks, query_panels
image, labels = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), int)
masks = QueryMasks([0], ["a"], [1.0], labels[None] == 0)
out = sys.argv[1]
label_panels(out + "/l.png", {"image": [image], "m": [labels]}, ["a"], [[1, 2, 3]])
query_panels(out + "/q.png", [image], {"m": [masks]})
class_histogram(out + "/h.png", ["a"], {"pixels": {"train": [1.0]}})
print(found, matplotlib.get_backend())
import matplotlib.pyplot as plt
print(plt.get_fignums(), plt.get_backend())
"""


@pytest.mark.slow
def test_visualizers_and_figures_leave_the_users_backend_alone(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNTOUCHED, str(tmp_path)],
        cwd=ROOT, text=True, capture_output=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "['PanopticDetVisualizer', 'PanopticSegVisualizer'] svg",
        "[] svg",
    ]
