"""What is refused before anything is decoded, and with which status of HTTP."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from ..utils.text import printable

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Formats of pillow that are opened. Cameras write them, browsers show them, and none of them
starts a program or refers to another file."""
LONGEST = 100
"""A photograph is at most so many times as long as wide: the network's resizing keeps ratios."""


class Refused(Exception):
    """A request that is not served.

    Attributes:
        status: of HTTP.
        text: one line for a human.
        retry_after: seconds after which it may be served; None: never.
    """

    def __init__(self, status: int, text: str, retry_after: int | None = None) -> None:
        super().__init__(status, text, retry_after)
        self.status, self.text, self.retry_after = status, text, retry_after


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for.

    Attributes:
        bytes: of a request's body.
        pixels: of a photograph.
        seconds: of an upload, and of one run of the network.
        queue: photographs that may wait for a worker.
        kept: photographs whose answers a worker keeps.
        kept_bytes: memory of those in bytes.
        shown: pixels of the maps for the page.
    """

    bytes: int = 32 << 20
    pixels: int = 50_000_000
    seconds: float = 120.0
    queue: int = 32
    kept: int = 32
    kept_bytes: int = 1 << 30
    shown: int = 1_100_000


def check_photo(content: bytes, name: str, limits: Limits) -> tuple[int, int]:
    """Width and height that the header of an encoded photograph tells; nothing is decoded.

    Raises:
        Refused: empty, of another format, or of a size that is not taken.
    """
    if not content:
        raise Refused(400, f"{name} is empty; wanted a photograph")
    wanted = "wanted a JPEG, PNG, WebP or BMP"
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise Refused(413, f"{name} has more than {limits.pixels:,} pixels") from None
    except Exception:  # whatever hostile bytes make pillow say
        raise Refused(415, f"{name} is no photograph that can be opened; {wanted}") from None
    if width * height > limits.pixels:
        raise Refused(
            413, f"{name} is {width:,} x {height:,}; wanted at most {limits.pixels:,} pixels"
        )
    if min(width, height) < 1 or max(width, height) > LONGEST * min(width, height):
        raise Refused(
            422, f"{name} is {width} x {height}; wanted at most {LONGEST} times as long as wide"
        )
    return width, height


def file_name(text: str | None) -> str:
    """What messages and results call an upload: printable, without folders, not too long."""
    name = printable((text or "").replace("\\", "/").rsplit("/", 1)[-1]).strip()
    return name[:80] or "photograph"
