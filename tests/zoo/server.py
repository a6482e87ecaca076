"""A server of one file on this machine, which behaves as badly as a test asks for."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What the server serves, how, and what it was asked.

    Attributes:
        cuts: bytes after which each connection in turn is cut; None or no entry: never.
        longer: bytes that the stated length is too large by.
        early: bytes that a piece begins before what was asked for.
        asked: (path, the `Range` header or None) of each request.
    """

    def __init__(self, files, cuts=(), ranges=True, codes=(), lengths=True, delay=0.0):
        self.files, self.cuts, self.ranges, self.codes = files, list(cuts), ranges, list(codes)
        self.lengths, self.delay = lengths, delay
        self.redirects, self.longer, self.early = {}, 0, 0
        self.asked = []


@contextmanager
def serving(site):
    """The address of a running server of a site."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            self.close_connection = True
            asked = self.headers.get("Range")
            site.asked.append((self.path, asked))
            code = site.codes.pop(0) if site.codes else None
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif code is not None or self.path not in site.files:
                self.send_error(code or 404)
            else:
                self.send_file(site.files[self.path], asked)

        def send_file(self, content, asked):
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and site.ranges else 0
            total = len(content)
            start = max(0, start - site.early)
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if site.lengths:
                self.send_header("Content-Length", str(total - start + site.longer))
            self.end_headers()
            cut = site.cuts.pop(0) if site.cuts else None
            body = content[start:] if cut is None else content[start : start + cut]
            half = len(body) // 2
            self.wfile.write(body[:half])
            self.wfile.flush()
            time.sleep(site.delay)
            self.wfile.write(body[half:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
