"""The workers as the web process sees them: calls, a queue, time limits, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.context import BaseContext
from typing import Any

from .limits import Limits, Refused
from .worker import SLOW, work

RESTART_DELAYS = (0, 1, 5, 15, 60)
"""Seconds before a restart; the last one again and again while no start succeeds."""


class Worker:
    """One worker process, which is started again whenever it ends.

    Attributes:
        description: of its model; None while it is not ready.
        busy: whether its network runs.
    """

    def __init__(self, make: Callable[[], Any], context: BaseContext) -> None:
        self.make, self.context = make, context
        self.description: dict[str, Any] | None = None
        self.busy = False
        self.process: Any = None
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future] = {}
        self._send_lock = threading.Lock()

    @property
    def is_free(self) -> bool:
        return self.description is not None and not self.busy

    async def start(self) -> None:
        """Start the process and wait for its model.

        Raises:
            Refused: the model can not be loaded; says why.
        """
        self._loop = asyncio.get_running_loop()
        self.connection, theirs = multiprocessing.Pipe()
        self.process = self.context.Process(target=work, args=(theirs, self.make), daemon=True)
        await asyncio.to_thread(self.process.start)
        theirs.close()
        self._calls[0] = self._loop.create_future()
        self.lost = asyncio.Event()
        arguments = (self.connection, self.lost)
        threading.Thread(target=self._receive, args=arguments, daemon=True).start()
        try:
            self.description = await self._calls[0]
        except Refused:
            await self.lost.wait()
            raise

    async def call(self, method: str, *arguments: Any) -> Any:
        """What the method of the session gives; see `worker.work`.

        Raises:
            Refused: the session refuses, or the worker is not there, or ends meanwhile.
        """
        if self.description is None:
            raise Refused(503, "the worker is starting; try again soon", retry_after=5)
        number = next(self._numbers)
        future = self._calls[number] = self._loop.create_future()
        try:
            await asyncio.to_thread(self._send, (number, method, arguments))
            return await future
        finally:
            self._calls.pop(number, None)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.description = None
        if self.process is not None:
            self.process.kill()

    def _send(self, request: tuple) -> None:
        with contextlib.suppress(OSError), self._send_lock:  # `_receive` notices the end, too
            self.connection.send(request)

    def _receive(self, connection: Any, lost: asyncio.Event) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._loop.call_soon_threadsafe(self._deliver, *connection.recv())
        self.process.join()
        with contextlib.suppress(RuntimeError):  # the loop is closed when all is over
            self._loop.call_soon_threadsafe(self._end, lost)

    def _deliver(self, number: int, outcome: Any) -> None:
        future = self._calls.get(number)
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _end(self, lost: asyncio.Event) -> None:
        self.description = None
        for future in self._calls.values():
            if not future.done():
                future.set_exception(Refused(500, "the worker ended while it worked on this"))
        lost.set()


class Pool:
    """All workers, and the queue before them.

    Args:
        makes: makes the session of a worker, one for each.
    """

    def __init__(
        self, makes: Sequence[Callable[[], Any]], limits: Limits, context: BaseContext
    ) -> None:
        self.limits = limits
        self.workers = [Worker(make, context) for make in makes]
        self._turns: deque[asyncio.Future] = deque()
        self._last_seconds = 1.0
        self._keepers: list[asyncio.Task] = []

    @property
    def waiting(self) -> int:
        """Photographs for which no worker is free."""
        return len(self._turns)

    @property
    def description(self) -> dict[str, Any]:
        """Of the model, the same in all workers."""
        for worker in self.workers:
            if worker.description is not None:
                return worker.description
        raise Refused(503, "the worker is starting; try again soon", retry_after=5)

    async def start(self) -> None:
        """Start all workers, and again those that end later.

        Raises:
            Refused: a model can not be loaded; no worker is left.
        """
        try:
            await asyncio.gather(*(worker.start() for worker in self.workers))
        except BaseException:
            await self.stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """End all workers."""
        for keeper in self._keepers:
            keeper.cancel()
        for worker in self.workers:
            worker.kill()

    async def predict(
        self, content: bytes, name: str, is_gone: Callable[[], Awaitable[bool]]
    ) -> dict[str, Any]:
        """See `Session.predict`, by the first worker that is free.

        Args:
            is_gone: whether nobody waits for the answer any more.

        Raises:
            Refused: too many photographs wait, or the time is up.
        """
        worker = await self._take()
        start = time.monotonic()
        try:
            if await is_gone():
                raise Refused(499, f"nobody waits for {name} any more")
            call = worker.call(SLOW, content, name)
            return await asyncio.wait_for(call, self.limits.seconds)
        except asyncio.TimeoutError:
            worker.kill()
            raise Refused(504, f"{name} took more than {self.limits.seconds:g} s") from None
        finally:
            self._last_seconds = time.monotonic() - start
            self._free(worker)

    async def call(self, key: str, method: str, *arguments: Any) -> Any:
        """A quick method, by the worker that keeps the photograph `key`."""
        number = key.split("-")[0]
        if not number.isdecimal() or int(number) >= len(self.workers):
            raise Refused(404, "there is no such photograph")
        worker = self.workers[int(number)]
        try:
            return await asyncio.wait_for(worker.call(method, key, *arguments), self.limits.seconds)
        except asyncio.TimeoutError:
            raise Refused(504, f"this took more than {self.limits.seconds:g} s") from None

    async def _take(self) -> Worker:
        """A worker that is free, which is busy from now on."""
        worker = next((worker for worker in self.workers if worker.is_free), None)
        if worker is not None:
            worker.busy = True
            return worker
        if self.waiting >= self.limits.queue:
            raise Refused(503, f"{self.waiting} photographs wait already", self._patience())
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await asyncio.wait({turn}, timeout=self.limits.seconds)
        except asyncio.CancelledError:
            if turn.done():
                self._free(turn.result())
            raise
        finally:
            if not turn.done():
                self._turns.remove(turn)
        if not turn.done():
            text = f"no worker was free for {self.limits.seconds:g} s"
            raise Refused(503, text, self._patience())
        return turn.result()

    def _free(self, worker: Worker) -> None:
        """Let a worker go, to who has waited longest."""
        worker.busy = False
        if worker.is_free and self._turns:
            worker.busy = True
            self._turns.popleft().set_result(worker)

    def _patience(self) -> int:
        """Seconds until a place in the queue is free, about."""
        return max(1, math.ceil(self._last_seconds / len(self.workers)))

    async def _keep(self, worker: Worker) -> None:
        """Start a worker again whenever it has ended."""
        while True:
            await worker.lost.wait()
            for attempt in itertools.count():
                await asyncio.sleep(RESTART_DELAYS[min(attempt, len(RESTART_DELAYS) - 1)])
                with contextlib.suppress(Refused):
                    await worker.start()
                    break
            self._free(worker)
