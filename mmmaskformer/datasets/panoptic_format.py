"""COCO's panoptic format, read and checked: a png of segment ids per image, one json for all.

A pixel's id is R + 256 G + 65536 B; 0 is void. Every error names the file and the ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from mmengine import fileio

from ..utils.files import parse_json
from ..utils.png_ids import NUM_IDS, decode_ids
from ..utils.text import listing


def read_ids(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Segment ids (H, W) int32 of a panoptic png; errors as `decode_ids`, or FileNotFoundError."""
    return decode_ids(fileio.get(str(path), backend_args=backend_args), str(path))


def read_panoptic_json(path: str, backend_args: dict | None = None, annotated: bool = True) -> dict:
    """The json with its lists `images`, `annotations` and `categories`; categories checked.

    Args:
        annotated: whether there must be a list `annotations`; else an empty one takes its place.

    Raises:
        ValueError: damaged, a list is missing, or a category lacks id, name or `isthing`, or
            shares its id or name with another.
    """
    content = parse_json(fileio.get(str(path), backend_args=backend_args), str(path))
    if isinstance(content, dict) and not annotated:
        content.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{path} is no panoptic json: it has no list `{key}`")
    for key in ("id", "name", "isthing"):
        lacking = [c for c in content["categories"] if not isinstance(c, dict) or key not in c]
        if lacking:
            raise ValueError(f"{path}: categories without `{key}`: {listing(lacking)}")
    for key in ("id", "name"):
        twice = duplicates(category[key] for category in content["categories"])
        if twice:
            raise ValueError(f"{path}: several categories share the {key} {listing(twice)}")
    return content


def match_annotations(content: dict, path: str) -> list[tuple[dict, dict]]:
    """Pairs of image and annotation of a `read_panoptic_json`, in the order of its annotations.

    Raises:
        ValueError: entries without their keys, an id twice, an image without annotation or an
            annotation without image.
    """
    for key, needed in (
        ("images", ("id", "file_name")),
        ("annotations", ("image_id", "file_name", "segments_info")),
    ):
        for entry in content[key]:
            if not isinstance(entry, dict) or any(name not in entry for name in needed):
                raise ValueError(f"{path}: an entry of `{key}` lacks one of {needed}: {entry}")
        twice = duplicates(entry[needed[0]] for entry in content[key])
        if twice:
            raise ValueError(f"{path}: several `{key}` with {needed[0]} {listing(twice)}")
    images = {image["id"]: image for image in content["images"]}
    unknown = [a["image_id"] for a in content["annotations"] if a["image_id"] not in images]
    if unknown:
        raise ValueError(f"{path}: annotations of image ids not in `images`: {listing(unknown)}")
    if len(images) > len(content["annotations"]):
        annotated = {a["image_id"] for a in content["annotations"]}
        bare = [i for i in images if i not in annotated]
        raise ValueError(f"{path}: image ids without annotation: {listing(bare)}")
    return [(images[a["image_id"]], a) for a in content["annotations"]]


def contiguous_segments(annotation: dict, classes: Mapping[int, int], path: str) -> list[dict]:
    """Id, category_id (the class index), iscrowd and area of each segment of an annotation.

    `classes` maps category ids to class indices.

    Raises:
        ValueError: keys missing, an id twice or not in [1, 2**24), an unknown category, no area.
    """
    where = f"{path}: {annotation['file_name']}"
    segments = annotation["segments_info"]
    try:
        listed = [
            (s["id"], s["category_id"], int(s.get("iscrowd", 0)), s["area"]) for s in segments
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{where}: every segment needs id, category_id and area, got {segments}"
        ) from error
    ids = [s[0] for s in listed]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{where}: several segments share the id {listing(duplicates(ids))}")
    problems = {
        "segment ids that are no integer in [1, 2**24)": [
            i for i in ids if not (isinstance(i, int) and 0 < i < NUM_IDS)
        ],
        "segments of unknown categories (id, category_id)": [
            s[:2] for s in listed if s[1] not in classes
        ],
        "segments without area (ids)": [
            s[0] for s in listed if not (isinstance(s[3], (int, float)) and s[3] > 0)
        ],
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"{where}: {problem}: {listing(found)}")
    return [
        {"id": i, "category_id": classes[category], "iscrowd": crowd, "area": area}
        for i, category, crowd, area in listed
    ]


def duplicates(values: Iterable) -> list:
    """Values that occur more than once, each once, in order."""
    counts: dict = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return [value for value, count in counts.items() if count > 1]
