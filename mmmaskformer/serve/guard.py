"""Who may speak to the server, and what browsers are told about its answers.

A page of another site can make a browser send requests to this machine. It can not read the
answers, unless its name is made to mean this machine (DNS rebinding). So requests must name this
machine, and what changes something must come from this server's own page, or from no page at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .limits import Limits, Refused

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:/?#@\[\]\s]+)(:\d{1,5})?", re.IGNORECASE)
SAFE = ("GET", "HEAD", "OPTIONS")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Guard:
    """An ASGI application around another one: hosts, origins, sizes of bodies, headers.

    Args:
        names: host names that the server has beside addresses, localhost and the machine's name.
    """

    def __init__(self, app: Callable, limits: Limits, names: Iterable[str] = ()) -> None:
        self.app, self.limits = app, limits
        self.names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            headers = _single_headers(scope["headers"])
            self.check(scope["method"], headers)
            self._check_length(headers.get("content-length", "0"))
        except Refused as error:
            await self._drain(receive)
            await _refuse(send_with_headers, error)
            return
        await self.app(scope, self._counted(receive), send_with_headers)

    def check(self, method: str, headers: dict[str, str]) -> None:
        """Raise Refused for a request to another host, or from the page of another site."""
        host = headers.get("host", "").lower()
        match = HOST.fullmatch(host)
        if match is None or not (match[1] in self.names or _is_address(match[1])):
            raise Refused(403, f"this server is not {host[:80]!r}; --allow-host lets it be")
        if method in SAFE:
            return
        origin = headers.get("origin")
        if origin is not None and origin.lower().split("://")[-1] != host:
            raise Refused(403, "a page of another site may not send this")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "a page of another site may not send this")

    def _check_length(self, length: str) -> None:
        if not length.isdecimal():
            raise Refused(400, "Content-Length is no number")
        if int(length) > self.limits.bytes:
            raise self._too_long()

    async def _drain(self, receive: Receive) -> None:
        """Read what is not wanted, for a while: who still sends does not read the answer."""

        async def read() -> None:
            count = 0
            while count < 4 * self.limits.bytes:
                message = await receive()
                count += len(message.get("body", b""))
                if not message.get("more_body"):
                    return

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read(), min(10.0, self.limits.seconds))

    def _too_long(self) -> Refused:
        return Refused(413, f"more than {self.limits.bytes / (1 << 20):g} MiB were sent")

    def _counted(self, receive: Receive) -> Receive:
        """`receive`, for bodies that do not say how long they are, or lie."""
        count = 0

        async def receive_counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self.limits.bytes:
                raise self._too_long()
            return message

        return receive_counted


def _single_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; Refused where one that is checked is there twice."""
    headers: dict[str, str] = {}
    for key, value in pairs:
        name = key.decode("latin-1").lower()
        if name in headers and name in ("host", "origin", "content-length"):
            raise Refused(400, f"there are two headers {name}")
        headers[name] = value.decode("latin-1")
    return headers


def _is_address(host: str) -> bool:
    """Whether a host is an IP address: nobody can rebind those."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


async def _refuse(send: Send, error: Refused) -> None:
    body = json.dumps({"error": error.text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
