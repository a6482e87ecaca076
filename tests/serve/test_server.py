"""The command, its socket and its signals."""

import http.client
import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing import forkserver

import pytest

from mmmaskformer.cli import main as cli
from mmmaskformer.serve.limits import Limits
from tests.commands import mistake, warm_context
from tests.conftest import WARM
from tests.serve.sessions import make_slow_quarters
from tests.serve.test_app import form, photo

pytest.importorskip("fastapi", reason="needs extra serve")


@pytest.fixture
def typed(monkeypatch, capsys):
    """The one line with which the command ends."""
    monkeypatch.setattr(multiprocessing, "get_context", warm_context)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mmmaskformer", "serve", *map(str, arguments)])
        handler = signal.getsignal(signal.SIGTERM)
        try:
            return mistake(capsys, cli.main)
        finally:
            signal.signal(signal.SIGTERM, handler)

    return run


def test_a_port_in_use_is_one_line(typed):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = typed("--model", "x", "--port", port)
    assert line == (
        f"error: port {port} of 127.0.0.1 is in use; name another one with --port, or 0 for any"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port", "70000"], "--port must be at least 0 and at most 65535, got 70000"),
        (["--max-megapixels", "200"], "--max-megapixels must be at least 0.001 and at most 178"),
        (["--max-megabytes", "0"], "--max-megabytes must be at least 0.001, got 0"),
        (["--timeout", "0"], "--timeout must be at least 1, got 0"),
        (["--queue", "0"], "--queue must be at least 1, got 0"),
        (["--keep", "0"], "--keep must be at least 1, got 0"),
        (["--host", "no.such.host.invalid", "--port", "0"], "--host no.such.host.invalid: "),
        (["--host", "192.0.2.1", "--port", "0"], "port 0 of 192.0.2.1 can not be had: "),
    ],
)
def test_options_out_of_their_range(typed, arguments, text):
    assert text in typed("--model", "x", *arguments)


def test_a_model_that_does_not_exist(typed):
    line = typed("--model", "maskformer_r50_ade20", "--port", 0)
    assert "maskformer_r50_ade20k" in line


def test_the_extra_that_is_missing(typed, monkeypatch):
    monkeypatch.delitem(sys.modules, "mmmaskformer.serve.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    line = typed("--model", "x")
    assert line == "error: serve needs the package uvicorn: pip install 'mmmaskformer[serve]'"


def serving(output, address):
    """A server in the child; what it prints goes to a file."""
    from mmmaskformer.serve.server import serve
    from mmmaskformer.utils.command import run

    server = forkserver._forkserver
    server._forkserver_address, server.ensure_running = address, lambda: None
    with open(output, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    limits = Limits()
    makes = [partial(make_slow_quarters, 0, limits)]
    run(lambda: serve(makes, limits, port=0, context=WARM))


@pytest.fixture
def running(tmp_path):
    """A server in a process of its own, its port, and what it prints."""
    output = tmp_path / "printed.txt"
    forkserver.ensure_running()
    arguments = (str(output), forkserver._forkserver._forkserver_address)
    process = WARM.Process(target=serving, args=arguments)
    process.start()
    found = None
    while found is None and process.is_alive():
        time.sleep(0.02)
        found = re.search(r"is ready: http://127.0.0.1:(\d+)", read(output))
    assert found, read(output)
    yield process, int(found[1]), output
    process.kill()
    process.join()


def read(path):
    return path.read_text() if path.exists() else ""


def status(port, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_let_what_has_begun_end(running, number, code):
    process, port, output = running
    found = []
    work = threading.Thread(
        target=lambda: found.append(status(port, "POST", "/photos", *form(photo())))
    )
    work.start()
    while work.is_alive() and health(port)["busy"] == 0:
        time.sleep(0.01)
    os.kill(process.pid, number)
    work.join()
    process.join(30)
    assert found == [200]
    assert process.exitcode == code
    assert "Traceback" not in read(output)
    with pytest.raises(ConnectionRefusedError):
        status(port, "GET", "/health")


def health(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/health")
    return json.loads(connection.getresponse().read())
