"""Files: complete or not there, json that names itself when it is damaged, names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write under; it becomes `path` when the block succeeds.

    Folders are made. The name is hidden and does not end in `path`'s suffix, so that what a
    killed process leaves behind is in nobody's list of images.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield work
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """The content of a json file.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is damaged; names it.
    """
    try:
        return parse_json(Path(path).read_bytes(), str(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None


def parse_json(content: bytes | str, name: str) -> Any:
    """The value that `content`, which was read from the file `name`, stands for; no object may
    have a key twice."""
    try:
        return json.loads(content, object_pairs_hook=_single_keys)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} is no valid json ({error}); it is damaged or incomplete"
        ) from None


def _single_keys(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"an object has the key {max(keys, key=keys.count)!r} twice")
    return found


def png_name(image_path: str | Path) -> str:
    """The name of what is written for an image: the image's, as a png."""
    return f"{Path(image_path).stem}.png"
