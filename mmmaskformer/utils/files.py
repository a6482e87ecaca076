"""Files: complete or not there, json that names itself when it is damaged, names."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL = 1 << 16
"""A disk with so many bytes left, or fewer, is full."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write under; it becomes `path` when the block succeeds.

    Folders are made. The name is hidden and does not end in `path`'s suffix, so that what a
    killed process leaves behind is in nobody's list of images.

    Raises:
        OSError: the file can not be written, for instance on a full disk; names it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield work
        os.replace(work, path)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except RuntimeError as error:  # torch.save's, which does not say why it could not write
        if shutil.disk_usage(path.parent).free > FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
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
    """The value that `content`, which was read from the file `name`, stands for."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} is no valid json ({error}); it is damaged or incomplete"
        ) from None


def png_name(image_path: str | Path) -> str:
    """The name of what is written for an image: the image's, as a png."""
    return f"{Path(image_path).stem}.png"
