"""One file from a server: resumed where it was cut off, whole or not there."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TRIES = 5
"""How often in a row a server may send nothing new."""
PAUSE = 1.0
"""Seconds before the first new try; each further one waits twice as long."""
TIMEOUT = 30.0
"""Seconds of silence after which a connection counts as cut."""
CHUNK = 1 << 18
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP codes that another try may not meet."""


class DownloadError(OSError):
    """A file can not be had; the message names its address and says why."""


def download(url: str, path: Path, md5: str = "", name: str = "") -> None:
    """Fetch `url` to `path`; what is there of an earlier try, in `path` + ".part", is gone on with.

    Args:
        md5: what the file's MD5 in hexadecimal digits begins with, where that is known.
        name: what the lines about the progress on stderr call the file.

    Raises:
        DownloadError: there is no such file, no network, too many cuts, or another checksum.
        OSError: it can not be written; names `path`.
    """
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.exists()
    with Progress(name or path.name) as progress:
        _fetch(url, part, progress)
        found = _md5(part)
        if resumed and not found.startswith(md5):  # the first piece was of something else
            part.unlink()
            _fetch(url, part, progress)
            found = _md5(part)
    if not found.startswith(md5):
        part.unlink()
        raise DownloadError(
            f"{url} has the MD5 {found}, wanted one that begins with {md5}: it was damaged on its "
            "way or is another file, and was deleted; try again"
        )
    os.replace(part, path)


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Fill `part` with all of the file, over as many connections as it takes."""
    failures, connected = 0, False
    while True:
        before = _size(part)
        try:
            if _receive(url, part, progress):
                return
            reason, connected = f"it was cut off after {_size(part)} bytes", True
        except urllib.error.HTTPError as error:
            if error.code not in PASSING:
                raise DownloadError(
                    f"{url} can not be downloaded: HTTP {error.code} {error.reason}"
                ) from error
            reason = f"HTTP {error.code} {error.reason}"
        except (TimeoutError, http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            reason, connected = _reason(error), True
        except urllib.error.URLError as error:
            reason = _reason(error.reason)
            if not connected and not isinstance(error.reason, TimeoutError):
                raise DownloadError(f"{url} can not be reached: {reason}") from error
        failures = 1 if _size(part) > before else failures + 1
        if failures >= TRIES:
            raise DownloadError(
                f"{url} can not be downloaded, after {TRIES} tries: {reason}; what came is kept, "
                "and the next try goes on from there"
            )
        time.sleep(PAUSE * 2 ** (failures - 1))


def _receive(url: str, part: Path, progress: Progress) -> bool:
    """Append to `part` what one connection brings; whether the file is whole then."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "mmmaskformer"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        # Nothing lies behind what is there, which is the whole file or more than that.
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if total and int(total[1]) == have:
            return True
        part.unlink()
        return False
    with response:
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        goes_on = response.status == 206
        if goes_on and (start is None or int(start[1]) != have):
            part.unlink(missing_ok=True)  # a piece that was not asked for; begin again
            return False
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with open(part, "ab" if goes_on else "wb", buffering=0) as file:
            while chunk := response.read(CHUNK):
                _write(file, chunk, part)
                have += len(chunk)
                progress.show(have, total)
    return total is None or have == total


def _write(file: io.FileIO, chunk: bytes, part: Path) -> None:
    """Write all of a chunk; an error of the disk names the file, unlike one of the network."""
    try:
        left = memoryview(chunk)
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(part)) from error


def _reason(error: object) -> str:
    text = " ".join(str(error).split())
    return "the server is silent" if isinstance(error, TimeoutError) else text or repr(error)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Progress:
    """A line on stderr about how much has come: rewritten on a terminal, else one per 10 %.

    On a terminal the line is ended when the block ends, whatever ended it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown = ""
        self.terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.terminal and self.shown:
            print(file=sys.stderr)

    def show(self, have: int, total: int | None) -> None:
        """Say how many bytes have come, if that is news."""
        step = 1 if self.terminal else 10
        if total:
            share = f"{have * 100 // total // step * step} % of {total / 1e6:.1f} MB"
        else:
            share = f"{have // (step * 1_000_000) * step} MB"
        if share == self.shown:
            return
        self.shown = share
        line = f"downloading {self.name}: {share}"
        line, end = (f"\r{line:<78}", "") if self.terminal else (line, "\n")
        print(line, end=end, file=sys.stderr, flush=True)
