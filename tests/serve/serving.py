"""A server in a thread of the tests, with workers in processes."""

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import uvicorn

from mmmaskformer.serve.app import make_app
from mmmaskformer.serve.limits import Limits
from mmmaskformer.serve.pool import Pool
from mmmaskformer.serve.server import bind
from tests.conftest import WARM
from tests.serve.sessions import make_quarters

LIMITS = Limits(bytes=1 << 19, pixels=1_000_000, kept=4, shown=20_000)


@contextmanager
def serving(make=make_quarters, limits=LIMITS):
    """`port` and `limits` of a server whose worker has `make(0, limits)` for its session."""
    listener = bind("127.0.0.1", 0)
    started = threading.Event()
    running = SimpleNamespace(port=listener.getsockname()[1], limits=limits)

    async def run():
        pool = Pool([partial(make, 0, limits)], limits, WARM)
        await pool.start()
        config = uvicorn.Config(make_app(pool, limits), log_level="warning", lifespan="on")
        running.server = uvicorn.Server(config)
        started.set()
        await running.server.serve(sockets=[listener])

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert started.wait(120)
        yield running
    finally:
        running.server.should_exit = True
        thread.join()
