"""Files that are complete or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
