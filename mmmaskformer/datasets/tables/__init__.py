"""Class names and palettes, one JSON file per dataset."""

import json
from pathlib import Path


def metainfo(name: str) -> dict:
    """mmseg's METAINFO (`classes`, `palette`, ...) of a dataset."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
