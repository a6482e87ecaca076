"""What the tools share that turn downloads into datasets.

Every image is written under a temporary name, read back and renamed; a tool that was killed is
started again and goes on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from ..utils.command import Parser, one_line_errors
from ..utils.files import replacing


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


def read_image(path: Path) -> np.ndarray:
    """Pixels as in the file: (H, W) or (H, W, channels).

    Raises:
        ValueError: missing, damaged or no image.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error


def read_labels(path: Path, channels: int, largest: int) -> np.ndarray:
    """A label image of 8 bits; its first channel, or its only one, holds 0..largest."""
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
        ValueError: missing, or no image.
    """
    try:
        with Image.open(path) as image:
            return image.size[::-1]
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except Exception as error:
        raise ValueError(f"{path} can not be read ({error}); it is damaged") from error


def is_whole(path: Path, size: tuple[int, int]) -> bool:
    """Whether there is an image of this height and width that can be read to its end."""
    try:
        return read_image(path).shape[:2] == size
    except ValueError:
        return False


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
    try:
        there = read_image(path)
    except ValueError:
        write_image(path, array)
    else:
        if not np.array_equal(there, array):
            raise ValueError(f"{path} is not what its annotations say; remove it and start again")


def remove_leftovers(folder: Path) -> None:
    """Make a folder for `write_image`, without the temporary files of a killed process.

    Raises:
        ValueError: there is a file of this name.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, wanted a folder to write to: move it away")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(".*"):
        if path.suffix[1:].isdigit():
            path.unlink()


def need_folder(folder: Path, download: str) -> None:
    """Raise ValueError with the download's address unless the folder is there."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing: download {download} and unpack it")
