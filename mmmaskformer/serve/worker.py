"""A worker: a process with one model, which does what the web process asks for.

The network runs in the main thread, one photograph after another. Everything else is quick, runs
in threads of its own, and does not wait for the network.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from ..utils.command import is_mistake, one_line
from .limits import Limits, Refused

SLOW = "predict"
"""The method that runs the network."""


def work(connection: Connection, make: Callable[[], Any]) -> None:
    """Serve a connection until its other end is closed, or is gone with its process.

    A request is (number, method, arguments). Answers are (number, result) or (number, exception);
    number 0 has the description of the model once it is there.

    Args:
        make: makes the session; its methods are what can be asked for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the web process says when to stop
    lock = threading.Lock()

    def send(number: int, outcome: Any) -> None:
        with lock:
            connection.send((number, outcome))

    try:
        session = make()
        send(0, session.describe())
    except BaseException as error:
        send(0, as_told(error))
        return

    def answer(number: int, method: str, arguments: tuple) -> None:
        try:
            outcome = getattr(session, method)(*arguments)
        except Exception as error:
            outcome = as_told(error)
        send(number, outcome)

    slow: queue.Queue = queue.Queue()
    threading.Thread(target=receive, args=(connection, slow, answer), daemon=True).start()
    while True:
        if slow.empty():
            for _ in session.prepare():
                if not slow.empty():
                    break
        answer(*slow.get())


def receive(connection: Connection, slow: queue.Queue, answer: Callable) -> None:
    """Hand on what comes in; when nothing more can come, the process ends."""
    quick = ThreadPoolExecutor(2)
    try:
        while True:
            request = connection.recv()
            if request[1] == SLOW:
                slow.put(request)
            else:
                quick.submit(answer, *request)
    except (EOFError, OSError):
        os._exit(0)  # nobody waits for what is still being worked on


def as_told(error: BaseException) -> Exception:
    """What the web process is told of an error; one of ours is printed here, as it is a fault."""
    if isinstance(error, Refused):
        return error
    if is_mistake(error) or isinstance(error, FloatingPointError):
        return Refused(422, one_line(error))
    traceback.print_exception(error)
    return Refused(500, "the program failed; its terminal shows where")


def make_session(
    number: int, model: str, checkpoint: str | None, limits: Limits, options: dict[str, Any]
) -> Any:
    """A `Session` of a `Predictor` with these options; what they need is imported in the worker
    and nowhere else."""
    from ..inference import Predictor
    from .session import Session

    return Session(number, model, Predictor(model, checkpoint, **options), limits)
