"""What the tools share that turn downloads into datasets.

Every image is written under a temporary name, read back and renamed; a tool that was killed is
started again and goes on. Two tools on one folder come one after the other, nothing outside of the
folder is read or written, and files that no tool made are left alone.
"""

from __future__ import annotations

import argparse
import fcntl
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from ..utils.command import Parser, one_line_errors
from ..utils.files import replacing

FORMATS = ("PNG", "JPEG", "BMP", "GIF")
"""What images may be; pillow would hand some of its other formats to other programs."""
SIGNATURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff"}


def parse_arguments(doc: str, **folders: str) -> argparse.Namespace:
    """A tool's arguments: folders with their help, and --workers."""
    parser = Parser(description=doc.split("\n")[0])
    for name, text in folders.items():
        parser.add_argument(name, type=Path, help=text)
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), help="processes"
    )
    with one_line_errors():
        args = parser.parse_args()
        if args.workers < 1:
            parser.error(f"--workers must be at least 1, got {args.workers}")
    return args


def run_all(work: Callable[[Any], Any], tasks: Sequence, workers: int, title: str) -> list:
    """Results of `work` for all tasks, in their order, by several processes; shows progress.

    `work` raises OSError or ValueError that name the file.

    Raises:
        OSError, ValueError: the first task that failed; no further ones are started.
        ChildProcessError: a process was killed.
    """
    pool = ProcessPoolExecutor(workers, initializer=_start_worker)
    try:
        results = pool.map(partial(_named, work), tasks, chunksize=8)
        return list(track(results, title, total=len(tasks)))
    except BrokenProcessPool:
        raise ChildProcessError(
            "a worker was killed, perhaps for want of memory; start again, it goes on, perhaps "
            "with fewer --workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _named(work: Callable[[Any], Any], task: Any) -> Any:
    try:
        return work(task)
    except (OSError, ValueError):
        raise
    except Exception as error:  # of a library, which does not know the file
        names = " ".join(map(str, task)) if isinstance(task, tuple) else task
        raise ValueError(f"{names} failed ({type(error).__name__}: {error})") from error


def _start_worker() -> None:
    """Ctrl-C is the first process's affair; when that one is killed, workers end, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other tool holds the folder, and hold it. It is free when its process ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another tool writes to {folder}: waiting until it ends", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # some file systems have no locks
            print(f"warning: {folder} can not be locked; start no other tool on it")
        yield
    finally:
        os.close(handle)


def inside(root: Path, *paths: Path) -> None:
    """Raise ValueError unless the paths, with their links followed, lie in the folder `root`."""
    for path in paths:
        target = path.resolve()
        if not target.is_relative_to(root.resolve()):
            raise ValueError(
                f"{path} leads out of {root}, to {target}; nothing there is read or written: put "
                "the file itself into the folder"
            )


def read_image(path: Path) -> np.ndarray:
    """Pixels as in the file: (H, W) or (H, W, channels).

    Raises:
        ValueError: missing, damaged, no image, or too large for pillow.
    """
    image_size(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            return np.asarray(image)
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error


def read_labels(path: Path, photo: Path, channels: int, largest: int) -> np.ndarray:
    """A label image of 8 bits, as large as its photo; its first channel, or its only one, holds
    0..largest."""
    size, wanted = image_size(path), image_size(photo)
    if size != wanted:
        raise ValueError(f"{path} is {size} (height, width), its image {photo} {wanted}")
    array = read_image(path)
    if array.dtype != np.uint8 or array.shape[2:] != ((channels,) if channels > 1 else ()):
        raise ValueError(
            f"{path} must have {channels} channel(s) of 8 bits, got {array.shape}, {array.dtype}"
        )
    labels = array[..., 0] if channels > 1 else array
    if labels.max(initial=0) > largest:
        raise ValueError(f"{path} must hold 0..{largest}, got {labels.max()}")
    return array


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image, read from its head.

    Raises:
        ValueError: missing, no image, or too large for pillow.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size[::-1]
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error


def is_whole(path: Path, size: tuple[int, int]) -> bool:
    """Whether there is an image of this height and width; False where it is missing, or so
    damaged as a machine that lost its power leaves it.

    Raises:
        ValueError: it is somebody else's: of another size, or no image at all.
    """
    if not os.path.lexists(path):
        return False
    try:
        there = image_size(path)
        if there == size:
            read_image(path)
    except ValueError as error:
        with path.open("rb") as file:
            start = file.read(8)
        large = isinstance(error.__cause__, Image.DecompressionBombError)
        if not large and (start.startswith(SIGNATURES[path.suffix]) or not start.strip(b"\0")):
            return False
        raise ValueError(f"{error}, or is yours: remove it and start again") from error
    if there != size:
        raise ValueError(
            f"{path} is {there} (height, width), wanted {size}: remove it, if it is not yours, "
            "and start again"
        )
    return True


def write_image(path: Path, array: np.ndarray, **options) -> None:
    """Write an image in the format of its suffix, complete and read back, or not at all.

    Args:
        options: of pillow's `save`, such as `quality`.

    Raises:
        OSError: it could not be written, or a lossless format gave other pixels back.
    """
    kind = "JPEG" if path.suffix == ".jpg" else "PNG"
    with replacing(path) as work:
        try:
            Image.fromarray(array).save(work, format=kind, **options)
            written = read_image(work)
        except (OSError, ValueError) as error:
            raise OSError(f"{path} could not be written ({error}); is the disk full?") from error
        # A jpeg gives other values back, but as many.
        if written.shape != array.shape or (kind == "PNG" and (written != array).any()):
            raise OSError(f"{path} does not hold what was written to it; is the disk broken?")


def keep_or_write(path: Path, array: np.ndarray) -> None:
    """Keep a png that holds the array; write one that is missing or damaged.

    Raises:
        ValueError: it holds something else, and may be somebody's.
    """
    if not is_whole(path, array.shape[:2]):
        write_image(path, array)
    elif not np.array_equal(read_image(path), array):
        raise ValueError(f"{path} is not what its annotations say; remove it and start again")


def make_folder(root: Path, folder: Path, names: Iterable[str] = ()) -> None:
    """Make a folder for files of these names, without what dead processes left of them.

    Raises:
        ValueError: there is a file of the folder's name, or it leads out of `root`.
    """
    inside(root, folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, wanted a folder to write to: move it away")
    folder.mkdir(parents=True, exist_ok=True)
    names = set(names)
    for path in folder.glob(".*"):
        match = re.fullmatch(r"\.(.+)\.([1-9]\d*)", path.name)
        if match and match[1] in names and not is_alive(int(match[2])) and path.is_file():
            path.unlink()


def is_alive(process: int) -> bool:
    """Whether a process other than this one has this id and has not ended."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:  # empty when it has ended and nobody has taken notice yet
        return process != os.getpid() and bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:  # a system without /proc
        return True


def need_folder(folder: Path, download: str) -> None:
    """Raise ValueError with the download's address unless the folder is there."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing: download {download} and unpack it")
