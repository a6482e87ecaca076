"""Images at an address, with limits: nobody knows who answers."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException

SCHEMES = ("http://", "https://")
LARGEST = 50 << 20
"""Bytes of a file; larger ones are refused."""
PATIENCE = 10.0
"""Seconds without an answer."""
LONGEST = 60.0
"""Seconds for the whole file."""
CHUNK = 1 << 16


class _SameSchemes(urllib.request.HTTPRedirectHandler):
    """Redirects stay with http and https; urllib would follow one to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_scheme(url: str) -> None:
    """Raise ValueError for an address that is not of http or https."""
    if not url.lower().startswith(SCHEMES):
        raise ValueError(f"{url} can not be fetched; wanted an address of http:// or https://")


def fetch(url: str, largest: int = LARGEST) -> bytes:
    """The content of a file at an address of http or https.

    Args:
        largest: the most bytes that are taken.

    Raises:
        OSError, ValueError: another scheme, no answer in time, an error as the answer, or too
            many bytes; names the address.
    """
    check_scheme(url)
    # Handlers of other schemes (file, ftp, data) are there by default, but never reached.
    opener = urllib.request.build_opener(_SameSchemes)
    opener.addheaders = [("User-Agent", "mmmaskformer")]
    deadline = time.monotonic() + LONGEST
    content = bytearray()
    try:
        with opener.open(url, timeout=PATIENCE) as answer:
            stated = answer.headers.get("Content-Length") or ""
            expected = int(stated) if stated.isdecimal() else 0
            while max(len(content), expected) <= largest:
                chunk = answer.read1(CHUNK)
                content += chunk
                if not chunk:
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it takes more than {LONGEST:.0f} s")
    except (OSError, HTTPException, ValueError) as error:  # URLError and HTTPError are OSErrors
        raise OSError(f"{url} can not be fetched: {_reason(error)}") from error
    if max(len(content), expected) > largest:
        raise ValueError(f"{url} is larger than {largest} bytes, the most that is fetched")
    if len(content) < expected:
        raise OSError(f"{url} can not be fetched: it ends after {len(content)} of {expected} bytes")
    return bytes(content)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return str(reason) or type(error).__name__
