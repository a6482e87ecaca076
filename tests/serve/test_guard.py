import asyncio
import json
import socket

import pytest

from mmmaskformer.serve.guard import HEADERS, Guard
from mmmaskformer.serve.limits import Limits, Refused


async def reading(scope, receive, send):
    """Reads the body and answers with its length."""
    count, more = 0, True
    while more:
        message = await receive()
        count, more = count + len(message["body"]), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(count).encode()})


def ask(headers, method="GET", parts=(b"",), names=(), limits=None):
    """Status, headers and body of the answer; `headers` is a list of pairs."""
    guard = Guard(reading, limits or Limits(bytes=10), names)
    sent, waiting = [], list(parts)

    async def receive():
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    pairs = [(key.encode(), value.encode()) for key, value in headers]
    scope = {"type": "http", "method": method, "headers": pairs}
    asyncio.run(guard(scope, receive, send))
    told = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], told, sent[1]["body"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "localhost",
        "LOCALHOST:1",
        "[::1]:8000",
        "192.168.1.20:8000",
        socket.gethostname(),
        "photos.example:80",
    ],
)
def test_hosts_that_are_this_server(host):
    status, headers, body = ask([("host", host)], names=["Photos.Example"])
    assert (status, body) == (200, b"0")
    assert headers == HEADERS


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "127.0.0.1:8000:80",
        "",
        "[::1].evil.example",
    ],
)
def test_hosts_that_are_not(host):
    status, headers, body = ask([("host", host)])
    assert status == 403
    assert "--allow-host" in json.loads(body)["error"]
    assert headers.items() >= HEADERS.items()


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ([], 200),  # no browser
        ([("origin", "http://127.0.0.1:8000")], 200),
        ([("origin", "https://127.0.0.1:8000"), ("sec-fetch-site", "same-origin")], 200),
        ([("origin", "http://127.0.0.1:9000")], 403),
        ([("origin", "http://evil.example")], 403),
        ([("origin", "null")], 403),
        ([("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "cross-site")], 403),
        ([("sec-fetch-site", "same-site")], 403),
    ],
)
def test_pages_of_other_sites_send_nothing(method, extra, status):
    assert ask([("host", "127.0.0.1:8000"), *extra], method)[0] == status


def test_two_hosts_or_two_lengths_are_refused():
    both = [("host", "127.0.0.1"), ("host", "evil.example")]
    assert ask(both)[0] == 400
    assert ask([("host", "localhost"), ("content-length", "1"), ("content-length", "2")])[0] == 400


@pytest.mark.parametrize(("length", "status"), [("10", 200), ("11", 413), ("-1", 400), ("x", 400)])
def test_the_length_that_is_told(length, status):
    headers = [("host", "localhost"), ("content-length", length)]
    assert ask(headers, "POST", [b"abc"])[0] == status


def test_the_length_that_is_not_told():
    host = [("host", "localhost")]
    assert ask(host, "POST", [b"12345", b"67890"])[2] == b"10"
    with pytest.raises(Refused) as caught:
        ask(host, "POST", [b"12345", b"67890", b"1"])
    assert caught.value.status == 413


def test_the_policy_lets_nothing_in_from_elsewhere():
    rules = dict(rule.split(" ", 1) for rule in HEADERS["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert {value for key, value in rules.items() if key != "img-src"} == {"'none'", "'self'"}
    assert rules["img-src"] == "'self' blob:"
