"""Text on pictures: an antialiased font, boxes that it reads on, and the size that fits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
"""DejaVu Sans, which comes with matplotlib."""
SMALLEST = 10
"""Pixels of the smallest text that is easy to read."""
SMOOTH = 4
"""Round corners are drawn so many times larger and reduced, because pillow's have steps."""


def font_size(height: int, width: int) -> int:
    """Pixels of the text on a picture: the same share of every picture, and never too small."""
    return max(SMALLEST, round(0.025 * (height * width) ** 0.5))


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    return ImageFont.truetype(str(FONT), size, layout_engine=ImageFont.Layout.BASIC)


def text_width(text: str, size: int) -> int:
    """Pixels from the beginning of a line to its end."""
    return int(np.ceil(font(size).getlength(text)))


def luminance(color: Sequence[int]) -> float:
    """WCAG's relative luminance of an sRGB colour in 0...255."""
    share = np.asarray(color, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(first: Sequence[int], second: Sequence[int]) -> float:
    """WCAG's contrast of two colours, 1 to 21; text should have at least 4.5."""
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def text_color(ground: Sequence[int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better on a colour; its contrast is at least 4.5."""
    black, white = (0, 0, 0), (255, 255, 255)
    return black if contrast(black, ground) >= contrast(white, ground) else white


def box_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of the box of a line of text."""
    return text_width(text, size) + 2 * round(0.4 * size), round(1.45 * size)


def draw_box(
    picture: np.ndarray, corner: tuple[int, int], text: str, ground: Sequence[int], size: int
) -> None:
    """Write a line of text in a filled box with round corners into a picture (H, W, 3) uint8 RGB.

    Args:
        corner: x, y of the upper left corner; the box lies within the picture.
        ground: the box's colour, which decides whether the text is black or white.
    """
    (width, height), (x, y) = box_size(text, size), corner
    large = Image.new("L", (SMOOTH * width, SMOOTH * height), 0)
    edges = (0, 0, SMOOTH * width - 1, SMOOTH * height - 1)
    ImageDraw.Draw(large).rounded_rectangle(edges, radius=SMOOTH * 0.25 * size, fill=255)
    tile = Image.new("RGB", (width, height), tuple(map(int, ground)))
    middle = (round(0.4 * size), height // 2)
    ImageDraw.Draw(tile).text(middle, text, text_color(ground), font(size), anchor="lm")
    area = picture[y : y + height, x : x + width]
    below = Image.fromarray(np.ascontiguousarray(area))
    below.paste(tile, (0, 0), large.resize((width, height), Image.Resampling.BOX))
    area[:] = np.asarray(below)
