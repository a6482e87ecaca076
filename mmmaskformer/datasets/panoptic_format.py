"""COCO's panoptic format, read and checked: a png of segment ids per image, one json for all.

A pixel's id is R + 256 G + 65536 B; 0 is void. Every error names the file and the ids.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..utils.files import parse_json
from ..utils.json_kinds import (
    check_kinds,
    duplicates,
    is_area,
    is_color,
    is_flag,
    is_key,
    is_objects,
    is_text,
    is_whole,
)
from ..utils.png_ids import NUM_IDS, decode_ids
from ..utils.text import listing
from .pixels import read_bytes

CATEGORY = {"id": is_whole, "name": is_text, "isthing": is_flag, "color": is_color}
IMAGE = {"id": is_key, "file_name": is_text}
ANNOTATION = {"image_id": is_key, "file_name": is_text, "segments_info": is_objects}


def read_ids(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Segment ids (H, W) int32 of a panoptic png; errors as `decode_ids`, or FileNotFoundError."""
    return decode_ids(read_bytes(path, backend_args), str(path))


def read_panoptic_json(path: str, backend_args: dict | None = None, annotated: bool = True) -> dict:
    """The json with its lists `images`, `annotations` and `categories`; categories checked.

    Args:
        annotated: whether there must be a list `annotations`; else an empty one takes its place.

    Raises:
        ValueError: damaged, a list is missing, or a category lacks id, name or `isthing`, has
            one of another kind, or shares its id or name with another.
    """
    content = parse_json(read_bytes(path, backend_args), str(path))
    if isinstance(content, dict) and not annotated:
        content.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{path} is no panoptic json: it has no list `{key}`")
    for key in ("id", "name", "isthing"):
        lacking = [c for c in content["categories"] if not isinstance(c, dict) or key not in c]
        if lacking:
            raise ValueError(f"{path}: categories without `{key}`: {listing(lacking)}")
    check_kinds(content["categories"], CATEGORY, f"{path}: categories")
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
    for key, kinds in (("images", IMAGE), ("annotations", ANNOTATION)):
        needed = tuple(kinds)
        for entry in content[key]:
            if not isinstance(entry, dict) or any(name not in entry for name in needed):
                raise ValueError(f"{path}: an entry of `{key}` lacks one of {needed}: {entry}")
        check_kinds(content[key], kinds, f"{path}: {key}")
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
        ValueError: keys missing, an id twice or not in [1, 2**24), an unknown category, no area,
            `iscrowd` that is neither 0 nor 1.
    """
    where = f"{path}: {annotation['file_name']}"
    segments = annotation["segments_info"]
    try:
        listed = [(s["id"], s["category_id"], s.get("iscrowd", 0), s["area"]) for s in segments]
    except KeyError as error:
        raise ValueError(
            f"{where}: every segment needs id, category_id and area, got {segments}"
        ) from error
    problems = {
        "segment ids that are no integer in [1, 2**24)": [
            s[0] for s in listed if not (is_whole(s[0]) and 0 < s[0] < NUM_IDS)
        ],
        "segments of unknown categories (id, category_id)": [
            s[:2] for s in listed if not is_whole(s[1]) or s[1] not in classes
        ],
        "segments whose iscrowd is neither 0 nor 1 (ids)": [
            s[0] for s in listed if not is_flag(s[2])
        ],
        "segments without area (ids)": [s[0] for s in listed if not is_area(s[3])],
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"{where}: {problem}: {listing(found)}")
    twice = duplicates(s[0] for s in listed)
    if twice:
        raise ValueError(f"{where}: several segments share the id {listing(twice)}")
    return [
        {"id": i, "category_id": classes[category], "iscrowd": int(crowd), "area": area}
        for i, category, crowd, area in listed
    ]
