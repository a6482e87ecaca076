"""Work that several processes share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def map_in_processes(
    work: Callable,
    tasks: Sequence[tuple],
    workers: int,
    track: Callable[[Sequence], Iterable] = iter,
) -> Generator[Any, None, None]:
    """Results of `work(*task)` in the order of the tasks; one worker or task needs no process.

    Whoever stops to ask for results, because of an error or otherwise, ends all processes.

    Args:
        track: wraps a list with one item a task, to show progress; for instance
            `rich.progress.track`.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        for task in track(tasks):
            yield work(*task)
        return
    with ProcessPoolExecutor(workers, initializer=_leave_signals) as pool:
        # All processes are there before `track` starts a thread of its own.
        futures = [pool.submit(work, *task) for task in tasks]
        try:
            for future in track(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # leaving `with` would finish all tasks
            raise


def _leave_signals() -> None:
    """Ctrl-C reaches all processes of a terminal; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
