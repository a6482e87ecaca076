"""Folders that one process at a time writes in."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

_HELD: dict[tuple[int, Path], IO[str]] = {}
"""Process and path, since a forked process does not hold what its parent holds."""


def hold(folder: str | Path, name: str) -> None:
    """Hold the lock `name` of a folder until `release` or the end of this process.

    The system holds the lock, which therefore dies with its process; the file that is left behind
    means nothing. A folder that is held by this process already stays held.

    Raises:
        RuntimeError: another process holds the lock; says which and since when.
    """
    path = Path(folder).resolve() / name
    if fcntl is None or (os.getpid(), path) in _HELD:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115, closing it gives the lock back
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # this file system has no locks
        raise RuntimeError(
            f"{folder} is in use: {holder} writes there; end it, or choose another folder"
        ) from None
    file.truncate(0)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    file.write(f"process {os.getpid()} on {socket.gethostname()}, started {since},\n")
    file.flush()
    _HELD[os.getpid(), path] = file


def release(folder: str | Path, name: str) -> None:
    """Give the lock back, if this process holds it."""
    file = _HELD.pop((os.getpid(), Path(folder).resolve() / name), None)
    if file is not None:
        file.close()


@contextmanager
def held(folder: str | Path, name: str) -> Iterator[None]:
    """Hold the lock `name` of a folder during the block; wait, and say so, while others do."""
    said = False
    while True:
        try:
            hold(folder, name)
            break
        except RuntimeError as error:
            if not said:
                print(f"waiting: {str(error).split(';')[0]}", file=sys.stderr)
            said = True
            time.sleep(0.2)
    try:
        yield
    finally:
        release(folder, name)
