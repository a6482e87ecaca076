"""Files: complete or not there, json that names itself when it is damaged, names."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
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
        if error.errno is None or error.filename not in (None, str(work)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except RuntimeError as error:  # torch.save's, which does not say why it could not write
        if shutil.disk_usage(path.parent).free > FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        work.unlink(missing_ok=True)


def check_output(
    option: str,
    target: str | Path,
    folders: Iterable[str | Path] = (),
    files: Iterable[str | Path] = (),
) -> None:
    """Raise ValueError, which names both, if what is written would come among what is read.

    Args:
        option: what the error calls the target, for instance "--out".
        target: the file or the folder that is written.
        folders: folders that are read, with the folders in them.
        files: single files that are read.
    """
    written = Path(target).resolve()
    for folder in folders:
        read = Path(folder).resolve()
        if written == read or read in written.parents or written in read.parents:
            raise ValueError(
                f"{option} {target} would write among the files of {folder}, which are read; name "
                "another folder"
            )
    for file in files:
        read = Path(file).resolve()
        same = written.exists() and read.exists() and written.samefile(read)
        if same or written == read:
            raise ValueError(
                f"{option} {target} would write over {file}, which is read; name another"
            )


def check_input(path: str | Path, what: str = "") -> None:
    """Raise FileNotFoundError if a file does not exist, and ValueError if it is something else:
    reading a pipe, a socket or a device might never end.

    Args:
        what: what the error calls the file, before its name.
    """
    name = f"{what} {path}" if what else path
    if not Path(path).exists():
        raise FileNotFoundError(f"{name} does not exist")
    if not Path(path).is_file():
        raise ValueError(f"{name} is a pipe, a device, a socket or a folder; wanted a file")


def read_json(path: str | Path) -> Any:
    """The content of a json file.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is damaged; names it.
    """
    check_input(path)
    return parse_json(Path(path).read_bytes(), str(path))


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


def png_name(image_path: str | Path, folder: str | Path | None = None) -> str:
    """The name of what is written for an image: the image's, as a png.

    Args:
        folder: the image's folders below this one are kept; None: none are.
    """
    path = Path(image_path)
    if folder is not None and path.is_relative_to(folder):
        return str(path.relative_to(folder).with_suffix(".png"))
    return f"{path.stem}.png"


def folder_to_keep(image_paths: Iterable[str | Path]) -> Path | None:
    """What `png_name` needs, so that different images have different names.

    None where the names alone differ, else the folder that all images are in.

    Raises:
        ValueError: two images in one folder differ in their suffix only.
    """
    paths = sorted({Path(path) for path in image_paths})
    if len({path.stem for path in paths}) == len(paths):
        return None
    for first, second in pairwise(paths):
        if first.with_suffix("") == second.with_suffix(""):
            raise ValueError(f"{first} and {second} would be written under one name; rename one")
    return Path(os.path.commonpath([path.parent for path in paths]))
