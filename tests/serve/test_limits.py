import io
import struct
import zlib

import pytest
from PIL import Image

from mmmaskformer.serve.limits import FORMATS, Limits, Refused, check_photo, file_name

LIMITS = Limits(pixels=10_000)


def encoded(kind, size=(40, 30), mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A png whose header says so; there are no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + head
    chunk = struct.pack(">I", len(head)) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_width_and_height_come_from_the_header(kind):
    assert check_photo(encoded(kind), "a", LIMITS) == (40, 30)


HOSTILE = {
    "empty": (b"", 400, "is empty"),
    "text": (b"hello", 415, "wanted a JPEG"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "no photograph"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "no photograph"),
    "tiff": (encoded("TIFF"), 415, "no photograph"),
    "gif": (encoded("GIF"), 415, "no photograph"),
    "half a header": (encoded("PNG")[:20], 415, "no photograph"),
    "30,000 x 30,000": (png_header(30_000, 30_000), 413, "pixels"),
    "2**31 wide": (png_header(2**31 - 1, 2**31 - 1), 413, "pixels"),
    "a pixel too many": (encoded("PNG", (101, 100)), 413, "101 x 100; wanted at most 10,000"),
    "a line": (encoded("PNG", (1, 101)), 422, "100 times"),
    "0 x 0": (png_header(0, 0), 415, "no photograph"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_refused(case):
    content, status, text = HOSTILE[case]
    with pytest.raises(Refused) as caught:
        check_photo(content, "a.jpg", LIMITS)
    assert caught.value.status == status
    assert text in caught.value.text
    assert caught.value.text.startswith("a.jpg ")
    assert "\n" not in caught.value.text


def test_nothing_is_decoded(monkeypatch):
    def refuse(self):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    content = encoded("JPEG", (100, 100))
    assert check_photo(content, "a", LIMITS) == (100, 100)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("street.jpg", "street.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.png", "a.png"),
        ("a\nb\x1b[31m.png", "a?b?[31m.png"),
        ("", "photograph"),
        (None, "photograph"),
        ("x" * 500, "x" * 80),
    ],
)
def test_names_of_uploads_are_harmless(text, wanted):
    assert file_name(text) == wanted
