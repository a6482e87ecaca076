"""What the documentation says of our own trainings is what docs/trained/trained.json holds."""

import json
import re

from benchmarks.kit import trained
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
    known = {(t.study, t.row, t.seed, t.config, t.options) for t in trainings(studies)}
    assert CONTENT["titles"] == {study["study"]: study["title"] for study in studies}
    assert CONTENT["claims"] == {study["study"]: study["claims"] for study in studies}
    for run in CONTENT["trainings"]:
        row = run["study"], run["row"], run["seed"], run["config"], tuple(run["options"])
        assert row in known
        assert run["logs"]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in run["logs"].values())
    for picture in re.findall(r"\]\((trained/[\w-]+\.(?:png|jpg))\)", trained_here()):
        assert (ROOT / "docs" / picture).is_file()
