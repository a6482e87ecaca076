"""Panoptic predictions on disk, as COCO's evaluation server takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..utils.files import png_name, replacing
from ..utils.png_ids import ids_to_colors


def write_prediction(
    folder: str | Path,
    image_path: str,
    image_id: int | str,
    ids: np.ndarray,
    segments_info: Sequence[dict],
    category_ids: Sequence | None = None,
) -> dict:
    """Write one image's png under the image's name, complete or not at all.

    Args:
        ids: (H, W) integers, 0 is void.
        segments_info: dicts with `id` and `category_id`, the class index.
        category_ids: the json's category id of each class; None: the class index.

    Returns:
        The image's entry for `annotations`.
    """
    segments = []
    for segment in segments_info:
        label = segment["category_id"]
        category_id = category_ids[label] if category_ids else label
        if category_id is None:
            raise ValueError(
                f"{image_path}: class {label} was predicted, but the dataset's json has no "
                "category for it, and other ids than the metadata; add the category to the json"
            )
        segments.append(dict(id=segment["id"], category_id=category_id))
    name = png_name(image_path)
    with replacing(Path(folder) / name) as work:
        Image.fromarray(ids_to_colors(ids)).save(work, format="png")
    return dict(image_id=image_id, file_name=name, segments_info=segments)


def write_annotations(path: str | Path, annotations: Sequence[dict]) -> None:
    """Write the json that lists the predictions, complete or not at all."""
    with replacing(path) as work:
        work.write_text(json.dumps(dict(annotations=list(annotations))))
