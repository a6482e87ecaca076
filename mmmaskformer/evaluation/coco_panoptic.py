"""Panoptic quality of COCO-style files: a json and a folder of pngs on each side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..utils.files import check_input, read_json
from ..utils.json_kinds import duplicates, is_key, is_objects, is_text
from ..utils.png_ids import decode_ids
from ..utils.processes import map_in_processes
from ..utils.text import listing
from .panoptic_quality import PanopticQuality

CHUNK = 8
"""Images per task; fixed, so that sums do not depend on the number of processes."""


class ImagePair(NamedTuple):
    """Ground truth and prediction of one image: the pngs and their `segments_info`."""

    gt_png: Path
    gt_segments: list
    pred_png: Path
    pred_segments: list


def read_ids(path: str | Path) -> np.ndarray:
    """Segment ids (H, W) int32 of a png; errors as `decode_ids`, or FileNotFoundError."""
    return decode_ids(Path(path).read_bytes(), str(path))


def read_pairs(
    gt_json: str | Path,
    pred_json: str | Path,
    gt_folder: str | Path | None = None,
    pred_folder: str | Path | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> tuple[list[dict], list[ImagePair]]:
    """The categories of the ground truth, and one pair per annotated image.

    Folders default to the json's path without `.json`.

    Args:
        warn: is told which predictions are of other images, and which images of the ground truth
            have no annotation; neither counts, as officially.

    Raises:
        FileNotFoundError: a json or a png that a json names does not exist.
        ValueError: a file is no COCO panoptic json; a category without `isthing`; no image, one
            that is listed twice, or one without a prediction; the prediction's own categories,
            where it has some, are others.
    """
    truth, guess = _read_panoptic(gt_json), _read_panoptic(pred_json)
    categories = _categories(truth, gt_json)
    gt_folder = Path(gt_folder or Path(gt_json).with_suffix(""))
    pred_folder = Path(pred_folder or Path(pred_json).with_suffix(""))
    predictions = {a["image_id"]: a for a in _annotations(guess, pred_json)}
    annotations = _annotations(truth, gt_json)
    if not annotations:
        raise ValueError(f"{gt_json} has no annotations, so there is nothing to evaluate")
    _check_same_categories(categories, guess.get("categories"), pred_json, gt_json)
    missing = [a["image_id"] for a in annotations if a["image_id"] not in predictions]
    if missing:
        raise ValueError(
            f"{pred_json} has no prediction for {len(missing)} of the {len(annotations)} images of "
            f"{gt_json}, image_id {listing(missing, 5)}"
        )
    for line in uncounted(truth, annotations, predictions, gt_json, pred_json):
        warn(line)
    pairs = [
        ImagePair(
            *_side(annotation, gt_folder, gt_json),
            *_side(predictions[annotation["image_id"]], pred_folder, pred_json),
        )
        for annotation in annotations
    ]
    return categories, pairs


def uncounted(
    truth: dict,
    annotations: list[dict],
    predictions: dict,
    gt_json: str | Path,
    pred_json: str | Path,
) -> Iterator[str]:
    """Lines about images that do not count, since the ground truth has no annotation of them."""
    annotated = {annotation["image_id"] for annotation in annotations}
    images: Any = truth.get("images")
    listed = [image.get("id") for image in images] if is_objects(images) else []
    bare = [number for number in listed if is_key(number) and number not in annotated]
    others = [number for number in predictions if number not in annotated]
    if bare:
        yield (
            f"{gt_json} has no annotation for {len(bare)} of its {len(listed)} images, which do "
            f"not count: image_id {listing(bare, 5)}"
        )
    if others:
        yield (
            f"{pred_json} has {len(others)} predictions of images that {gt_json} does not "
            f"annotate, which do not count: image_id {listing(others, 5)}"
        )


def count_pairs(categories: list[dict], pairs: Iterable[ImagePair]) -> PanopticQuality:
    """Read and add up some pairs.

    Raises:
        FileNotFoundError, ValueError: as `read_ids` and `PanopticQuality.update`, with the file.
    """
    quality = PanopticQuality(categories)
    for pair in pairs:
        quality.update(
            read_ids(pair.gt_png),
            pair.gt_segments,
            read_ids(pair.pred_png),
            pair.pred_segments,
            gt_name=str(pair.gt_png),
            pred_name=str(pair.pred_png),
        )
    return quality


def count_in_processes(
    categories: list[dict],
    pairs: Sequence[ImagePair],
    workers: int = 1,
    track: Callable[[Sequence], Iterable] = iter,
) -> PanopticQuality:
    """`count_pairs` by several processes; the result does not depend on their number.

    Args:
        track: wraps the list of tasks, to show progress; for instance `rich.progress.track`.
    """
    tasks = [(categories, pairs[start : start + CHUNK]) for start in range(0, len(pairs), CHUNK)]
    total = PanopticQuality(categories)
    # Closed at once when an interruption comes here and not while waiting for a part.
    with closing(map_in_processes(count_pairs, tasks, workers, track)) as parts:
        for part in parts:
            total.merge(part)
    return total


def _read_panoptic(path: str | Path) -> dict:
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path} is no COCO panoptic json: the top level is no object")
    return data


def _categories(data: dict, path: str | Path) -> list[dict]:
    categories = data.get("categories")
    if not isinstance(categories, list):
        raise ValueError(f"{path} has no list 'categories'")
    try:
        PanopticQuality(categories)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return categories


def _annotations(data: dict, path: str | Path) -> list[dict]:
    annotations = data.get("annotations")
    if not isinstance(annotations, list):
        raise ValueError(f"{path} has no list 'annotations'")
    fields = {"image_id": is_key, "file_name": is_text, "segments_info": is_objects}
    for index, annotation in enumerate(annotations):
        for field, is_right in fields.items():
            if not isinstance(annotation, dict) or not is_right(annotation.get(field)):
                raise ValueError(f"{path}: annotation {index} has no {field!r}")
    for field in ("image_id", "file_name"):
        twice = duplicates(annotation[field] for annotation in annotations)
        if twice:
            raise ValueError(f"{path}: several annotations have the {field} {listing(twice)}")
    return annotations


def _check_same_categories(
    categories: list[dict], others: Any, path: str | Path, gt_json: str | Path
) -> None:
    """Raise ValueError if a prediction's json says that an id is another class."""
    named = {category["id"]: category.get("name") for category in categories}
    differ = [
        (category["id"], category["name"])
        for category in (others if is_objects(others) else [])
        if is_key(category.get("id")) and "name" in category
        if named.get(category["id"]) not in (None, category["name"])
    ]
    if differ:
        raise ValueError(
            f"{path}: categories (id, name) that have other names in {gt_json}: {listing(differ)}"
        )


def _side(annotation: dict, folder: Path, source: str | Path) -> tuple[Path, list]:
    """The png of an annotation, which must exist, and its segments."""
    png = folder / annotation["file_name"]
    if not png.exists():
        raise FileNotFoundError(f"{source} names {png}, which does not exist")
    check_input(png)
    return png, annotation["segments_info"]
