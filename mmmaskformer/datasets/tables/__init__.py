"""Class names and palettes, one JSON file per dataset."""

from pathlib import Path

from ...utils.files import read_json


def metainfo(name: str) -> dict:
    """mmseg's METAINFO (`classes`, `palette`, ...) of a dataset."""
    return read_json(Path(__file__).parent / f"{name}.json")
