"""Files of a prediction.

For the image `street.jpg` a folder gets

* `street_overlay.jpg`: the picture;
* `street_labels.png`: class indices, 255 where there is none; of 16 bits, and 65535 where there is
  none, where the model has more than 255 classes;
* `street_panoptic.png`: segment ids as COCO writes them, R + 256 G + 65536 B, 0 is void; of models
  with panoptic inference;
* `street.json`: `Prediction.to_json()`, with `files` and, of panoptic models, `annotations`, in
  which COCO's panoptic evaluation finds the segments of the png.

Another image that is called `street`, too, gets files that begin with `street-2`.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from ..utils.files import read_json, replacing
from ..utils.png_ids import ids_to_colors
from .encodings import dataset_id

if TYPE_CHECKING:
    from .prediction import Prediction


def save_prediction(
    prediction: Prediction,
    folder: str | Path,
    name: str | None,
    overlay: np.ndarray,
    *,
    masks: bool = False,
) -> dict[str, Path]:
    """Write the files, each of them whole or not at all, the json last.

    Args:
        name: what their names begin with, perhaps with folders; None: the image's name.
        masks: whether the json has the masks of the segments.

    Returns:
        `overlay`, `labels`, `panoptic` where there is one, `json`: where they are.

    Raises:
        OSError: a file can not be written; names it.
        ValueError: the folder is that of the image; a name that leads out of the folder.
    """
    folder = Path(folder)
    if is_file(prediction.name) and folder.resolve() == Path(prediction.name).resolve().parent:
        raise ValueError(
            f"results of {prediction.name} would be written among the images of {folder}; name "
            "another folder"
        )
    source = identity(prediction)
    path = free_path(folder, file_stem(prediction.name) if name is None else name, source)
    written = {kind: path.with_name(f"{path.name}_{end}") for kind, end in ENDS.items()}
    content = {**prediction.to_json(masks), "source": source}
    pictures: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "overlay": (overlay, dict(format="jpeg", quality=92, subsampling=0)),
        "labels": (label_values(prediction), dict(format="png")),
    }
    if prediction.can("panoptic"):
        ids = prediction.panoptic.ids
        pictures["panoptic"] = (ids_to_colors(ids), dict(format="png"))
        content["annotations"] = [annotation(prediction, path.name, written["panoptic"].name)]
    written = {kind: written[kind] for kind in pictures}
    content["files"] = {kind: target.name for kind, target in written.items()}
    for kind, (pixels, options) in pictures.items():
        with replacing(written[kind]) as work:
            Image.fromarray(pixels).save(work, **options)
    written["json"] = path.with_name(f"{path.name}.json")
    with replacing(written["json"]) as work:
        work.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return written


ENDS = {"overlay": "overlay.jpg", "labels": "labels.png", "panoptic": "panoptic.png"}


def label_values(prediction: Prediction) -> np.ndarray:
    """The class indices in the pixels of the label png."""
    return prediction.semantic.astype(np.uint8 if prediction.void == 255 else np.uint16)


def annotation(prediction: Prediction, image_id: str, file_name: str) -> dict[str, Any]:
    """The image's entry in COCO's panoptic format."""
    segments = [
        {
            "id": segment["id"],
            "category_id": dataset_id(prediction.meta, segment["category_id"]),
            "area": segment["area"],
            "iscrowd": 0,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        for segment in prediction.panoptic.segments
        for x0, y0, x1, y1 in [segment["box"]]
    ]
    return dict(image_id=image_id, file_name=file_name, segments_info=segments)


def is_file(name: str) -> bool:
    """Whether a prediction's name is that of a file."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def identity(prediction: Prediction) -> str:
    """What tells images apart whose names are equal: the place of a file, else the pixels."""
    if is_file(prediction.name):
        text = str(Path(prediction.name).resolve())
    else:
        text = f"{prediction.name} {zlib.crc32(np.ascontiguousarray(prediction.image))}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def file_stem(name: str) -> str:
    """A name for files, from a path, a URL or whatever an image is called."""
    url = urlsplit(name) if re.match(r"https?://", name) else None
    last = PurePosixPath(unquote(url.path) if url else name).name
    last = re.sub(r"\.(jpe?g|png|bmp|webp|tiff?|gif|ppm)$", "", last, flags=re.IGNORECASE)
    return re.sub(r'[\x00-\x1f<>:"/\\|?* ]+', "_", last).strip("._")[:100] or "image"


def free_path(folder: Path, name: str, source: str) -> Path:
    """Where an image's files go, without their ends: the first of NAME, NAME-2, NAME-3... that no
    other image has.

    Raises:
        ValueError: the name is empty or leads out of the folder.
    """
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ValueError(f"name must be the beginning of a file's name, got {name!r}")
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{name}-{number}")
        json_file = path.with_name(f"{path.name}.json")
        if not json_file.exists():
            return path
        if written_for(json_file) == source:
            return path
        number += 1


def written_for(json_file: Path) -> str | None:
    """The identity of the image whose results a json has; None: it is no json of ours."""
    try:
        content = read_json(json_file)
    except ValueError:
        return None
    return content.get("source") if isinstance(content, dict) else None
