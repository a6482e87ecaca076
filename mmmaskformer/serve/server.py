"""The server's process: its socket, its signals, its end."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.context import BaseContext
from typing import Any

import uvicorn

from .app import make_app
from .limits import Limits, Refused
from .pool import Pool


def serve(
    makes: Sequence[Callable[[], Any]],
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    names: Iterable[str] = (),
    context: BaseContext | None = None,
) -> None:
    """Serve until SIGTERM, which ends the process with 0, or Ctrl-C, when what has begun is done.

    Args:
        makes: makes the session of a worker, one for each.
        port: 0: any that is free.
        names: host names of the server; see `Guard`.
        context: in which workers start; None: "spawn".

    Raises:
        ValueError: the port can not be had, or the model can not be loaded; says why.
    """
    listener = bind(host, port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    context = context or multiprocessing.get_context("spawn")
    asyncio.run(_serve(listener, Pool(makes, limits, context), limits, names))


def bind(host: str, port: int) -> socket.socket:
    """A socket that nobody can connect to before it listens."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
    except socket.gaierror as error:
        raise ValueError(f"--host {host}: {error.strerror}") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port {port} of {host} is in use; name another one with --port, or 0 for any"
            ) from error
        raise ValueError(f"port {port} of {host} can not be had: {error.strerror}") from error
    return listener


async def _serve(listener: socket.socket, pool: Pool, limits: Limits, names: Iterable[str]) -> None:
    try:
        await pool.start()
    except Refused as error:
        raise ValueError(error.text) from error
    config = uvicorn.Config(
        make_app(pool, limits, names),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=round(limits.seconds),
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"{pool.description['model']} is ready: http://{shown}:{port}", flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])
