"""What the documentation says of our own trainings is what docs/trained/trained.json holds."""

import json
import re

from benchmarks.kit import trained, trained_json
from benchmarks.kit.studies import read_studies, trainings
from tests.conftest import ROOT

FOLDER = ROOT / "docs/trained"
CONTENT = json.loads((FOLDER / "trained.json").read_text("utf-8"))


def tables(text):
    """The Markdown tables of a page."""
    return re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)


def trained_here():
    """The section of docs/results.md about our own trainings."""
    page = (ROOT / "docs/results.md").read_text("utf-8")
    return page.split("\n## Trained here\n")[1].split("\n## ")[0]


def test_the_page_of_all_tables_is_made_from_the_numbers():
    assert (FOLDER / "tables.md").read_text("utf-8") == trained.page(trained.tables(CONTENT))


def test_the_tables_of_the_results_are_those_of_all_tables():
    made = tables((FOLDER / "tables.md").read_text("utf-8"))
    shown = [t for t in tables(trained_here()) if not t.startswith("| quick start |")]
    assert len(shown) >= 3
    assert [table for table in shown if table not in made] == []


def test_numbers_and_pictures_are_of_studies_that_exist():
    studies = read_studies()
    known = [training.about for training in trainings(studies)]
    assert trained_json.read([FOLDER / "trained.json"], known) == CONTENT["trainings"]
    assert CONTENT["titles"] == {study["study"]: study["title"] for study in studies}
    assert CONTENT["claims"] == {study["study"]: study["claims"] for study in studies}
    for run in CONTENT["trainings"]:
        assert run["logs"]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in run["logs"].values())
    for picture in re.findall(r"\]\((trained/[\w-]+\.(?:png|jpg))\)", trained_here()):
        assert (ROOT / "docs" / picture).is_file()


LONG = [("camvid-long", "MaskFormer")]
SHORT = [("camvid", "MaskFormer"), ("camvid", "PerPixelBaseline")]
ROOMS = [("nyuv2-long", "MaskFormer"), ("nyuv2-long", "PerPixelBaseline")]
LARGER = [("nyuv2-480", "MaskFormer, fixed matching"), ("nyuv2-480", "PerPixelBaseline")]
IN_README = {
    "CamVid test, mIoU, 4,000 steps": (
        "test",
        "mIoU",
        [*LONG, ("camvid-long", "PerPixelBaseline")],
    ),
    "CamVid test, mIoU, the same with m.s. testing": ("test, m.s.", "mIoU", LONG),
    "CamVid test, mIoU, 1,000 steps": ("test", "mIoU", SHORT),
    "CamVid test, PQ<sup>St</sup> of the same models": ("test", "PQ_st", SHORT),
    "NYU Depth v2 val, mIoU, 1,000 steps": (
        "val",
        "mIoU",
        [("nyuv2", "MaskFormer"), ("nyuv2", "PerPixelBaseline")],
    ),
    "NYU Depth v2 val, mIoU, the same with fixed matching": (
        "val",
        "mIoU",
        [("nyuv2", "MaskFormer, fixed matching")],
    ),
    "NYU Depth v2 val, mIoU, 6,000 steps": ("val", "mIoU", ROOMS),
    "NYU Depth v2 val, PQ<sup>St</sup> of the same models": ("val", "PQ_st", ROOMS),
    "NYU Depth v2 val enlarged to 480x640, mIoU": ("val", "mIoU", LARGER),
    "NYU Depth v2 val enlarged to 480x640, mIoU, m.s. testing": ("val, m.s.", "mIoU", LARGER[:1]),
    "NYU Depth v2 val enlarged to 480x640, PQ<sup>St</sup>": ("val", "PQ_st", LARGER),
}


def test_the_front_page_shows_the_same_numbers():
    front = tables((ROOT / "README.md").read_text("utf-8"))[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in front.splitlines()[2:]]
    shown = {row[0]: row[-1] for row in rows if row[2] == "" and "shapes" not in row[0]}
    expected = {}
    for label, (split, metric, models) in IN_README.items():
        cells = []
        for model in models:
            runs = [run for run in CONTENT["trainings"] if (run["study"], run["row"]) == model]
            cells += trained.metric_cells(runs, split, [metric])
        expected[label] = " / ".join(cells)
    assert shown == expected
