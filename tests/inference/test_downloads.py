"""Images from a server on this machine, which misbehaves in every way."""

import io
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from mmmaskformer.inference import downloads
from mmmaskformer.inference.sources import frames

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
STREAM = io.BytesIO()
Image.fromarray(PIXELS).save(STREAM, format="png")
CONTENT = STREAM.getvalue()
REDIRECTS = {
    "again.png": "/image.png",
    "file.png": "file:///etc/passwd",
    "ftp.png": "ftp://127.0.0.1/a.png",
    "loop.png": "/loop.png",
}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        kind = self.path.split("?")[0].removeprefix("/")
        if kind in ("image.png", "text.png", "cut.png"):
            content = b"no image" if kind == "text.png" else CONTENT
            self.answer(200, {"Content-Length": len(content)})
            self.wfile.write(content[:50] if kind == "cut.png" else content)
        elif kind == "endless.png":
            self.answer(200, {})
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 10_000)
        elif kind == "large.png":
            self.answer(200, {"Content-Length": 10**12})
        elif kind in REDIRECTS:
            self.answer(302, {"Location": REDIRECTS[kind]})
        elif kind == "slow.png":
            time.sleep(3)
        elif kind == "drip.png":
            self.answer(200, {})
            with suppress(OSError):
                for byte in CONTENT:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.1)
        else:
            self.answer(404, {})

    def answer(self, code, headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("path", ["image.png", "image.png?size=large", "again.png"])
def test_an_image_is_fetched(server, path):
    (frame,) = frames(f"{server}/{path}")
    assert np.array_equal(frame.image, PIXELS)
    assert frame.name == f"{server}/{path}"


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("nothing.png", OSError, r"nothing\.png can not be fetched: the server answers 404"),
        ("text.png", ValueError, r"text\.png can not be read .*no image"),
        ("cut.png", OSError, r"cut\.png can not be fetched: it ends after 50 of \d+ bytes"),
        ("endless.png", ValueError, r"endless\.png is larger than 100000 bytes"),
        ("large.png", ValueError, r"large\.png is larger than 100000 bytes"),
        ("file.png", OSError, r"file\.png can not be fetched: .*file:///etc/passwd"),
        (
            "ftp.png",
            OSError,
            r"ftp\.png can not be fetched: ftp://127\.0\.0\.1/a\.png can not be fetched; wanted",
        ),
        ("loop.png", OSError, r"loop\.png can not be fetched: .*loop"),
        ("slow.png", OSError, r"slow\.png can not be fetched: .*timed out"),
        ("drip.png", OSError, r"drip\.png can not be fetched: it takes more than"),
    ],
)
def test_servers_that_misbehave(server, monkeypatch, path, error, text):
    monkeypatch.setattr(downloads, "PATIENCE", 0.5)
    monkeypatch.setattr(downloads, "LONGEST", 0.5)
    monkeypatch.setattr(downloads.fetch, "__defaults__", (100_000,))
    with pytest.raises(error, match=text):
        list(frames(f"{server}/{path}"))


def test_no_network():
    with pytest.raises(
        OSError, match=r"http://127\.0\.0\.1:1/a\.png can not be fetched: .*refused"
    ):
        list(frames("http://127.0.0.1:1/a.png"))
    for url in ("http://no-such-host.invalid/a.png", "http://[::1/a.png", "http:// x/a.png"):
        with pytest.raises(OSError, match=r"can not be fetched: "):
            list(frames(url))
