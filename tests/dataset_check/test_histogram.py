import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmmaskformer.dataset_check import histogram


@pytest.mark.parametrize("count", [3, 847])
def test_plots_of_few_and_of_many_classes_show_every_class(tmp_path, count, monkeypatch):
    drawn = []

    class Recorded(Figure):
        def __init__(self, **options):
            super().__init__(**options)
            drawn.append(self)

    monkeypatch.setattr(histogram, "Figure", Recorded)
    numbers = np.arange(count, dtype=float)
    panels = {"pixels": {"train": numbers, "val": numbers[::-1]}}
    histogram.class_histogram(tmp_path / "p.png", [f"c{i}" for i in range(count)], panels)
    ((axis,),) = (figure.axes for figure in drawn)
    if count == 3:
        assert [bar.get_width() for bar in axis.patches] == [0, 1, 2, 2, 1, 0]
        assert [label.get_text() for label in axis.get_yticklabels()] == ["c0", "c1", "c2"]
        assert [text.get_text() for text in axis.texts] == ["never", "never"]
    else:
        train, val = axis.lines
        assert train.get_ydata().tolist() == list(range(846, 0, -1))
        assert val.get_ydata().tolist() == list(range(1, 847))
        assert "commonest: c846, c845" in axis.get_title(loc="left")
        assert axis.get_title(loc="left").endswith("c3, c2, c1")
    with Image.open(tmp_path / "p.png") as image:
        assert image.size[0] > 500


@pytest.mark.parametrize(("largest", "scale"), [(20, "linear"), (21, "log")])
def test_bars_are_logarithmic_where_the_shortest_would_not_be_seen(largest, scale):
    """More than 40 times the lowest end of the axis, which is half the shortest bar."""
    axis = Figure().subplots()
    histogram.draw_bars(axis, ["a", "b"], {"train": np.array([1.0, largest])}, "pixels")
    assert axis.get_xscale() == scale
