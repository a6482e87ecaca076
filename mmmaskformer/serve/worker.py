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
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from ..utils.command import is_mistake, one_line
from .limits import Limits, Refused

SLOW = "predict"
"""The method that runs the network."""
PAUSE = 0.05
"""Seconds without a request after which the session may prepare what could be asked for."""


def work(connection: Connection, make: Callable[[], Any]) -> None:
    """Serve a connection until its other end is closed, or is gone with its process.

    A request is (number, method, arguments). Answers are (number, result) or (number, exception);
    number 0 has the description of the model once it is there. Where nothing is to be done, the
    session prepares what may be asked for.

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
    quick = Quick(answer)
    threading.Thread(target=receive, args=(connection, slow, quick), daemon=True).start()
    ready = False  # whether there is nothing to prepare
    while True:
        try:
            request = slow.get(timeout=None if ready else PAUSE)
        except queue.Empty:
            ready = not quick.running and not session.prepare()
        else:
            answer(*request)
            ready = False


class Quick:
    """Threads for requests that do not wait for the network.

    Attributes:
        running: those that are worked on, or wait for a thread.
    """

    def __init__(self, answer: Callable) -> None:
        self.answer = answer
        self.running: set[Future] = set()
        self.threads = ThreadPoolExecutor(2)

    def put(self, request: tuple) -> None:
        """Answer a request soon."""
        future = self.threads.submit(self.answer, *request)
        self.running.add(future)
        future.add_done_callback(self.running.discard)


def receive(connection: Connection, slow: queue.Queue, quick: Quick) -> None:
    """Hand on what comes in; when nothing more can come, the process ends."""
    try:
        while True:
            request = connection.recv()
            (slow if request[1] == SLOW else quick).put(request)
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
