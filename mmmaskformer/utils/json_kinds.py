"""The kinds of values in COCO's panoptic format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def duplicates(values: Iterable) -> list:
    """Values that occur more than once, each once, in order."""
    counts: dict = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return [value for value, count in counts.items() if count > 1]


def is_whole(value: Any) -> bool:
    """Whether a value is an integer, and not a boolean."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_flag(value: Any) -> bool:
    """Whether a value is 0, 1, False or True."""
    return isinstance(value, int | np.integer | np.bool_) and value in (0, 1)


def is_text(value: Any) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and bool(value.strip())


def is_key(value: Any) -> bool:
    """Whether a value can be the id of an image: an integer or a text."""
    return is_whole(value) or is_text(value)


def is_area(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and 0 < value < math.inf


def is_color(value: Any) -> bool:
    """Whether a value is a list of three integers in [0, 255]."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(is_whole(part) and 0 <= part <= 255 for part in value)
    )


def is_objects(value: Any) -> bool:
    """Whether a value is a list of objects."""
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


KINDS = {
    is_whole: "a whole number",
    is_flag: "0 or 1",
    is_text: "a text",
    is_key: "a whole number or a text",
    is_color: "a list of three whole numbers in [0, 255]",
    is_objects: "a list of objects",
}


def check_kinds(entries: Iterable[Mapping], kinds: Mapping[str, Any], where: str) -> None:
    """Raise ValueError for the first value that is not of its kind; absent ones are of any.

    Args:
        kinds: key of an entry -> one of `KINDS`.
        where: what the error calls the list of entries, and its file.
    """
    for index, entry in enumerate(entries):
        for key, is_right in kinds.items():
            if key in entry and not is_right(entry[key]):
                text = repr(entry[key])
                text = text if len(text) <= 80 else text[:77] + "..."
                raise ValueError(f"{where}[{index}]: {key!r} must be {KINDS[is_right]}, got {text}")
