"""A legend below a picture: colours, names and how much of the picture they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .text import font, font_size, text_width

GROUND, INK = (255, 255, 255), (30, 30, 30)


@dataclass(frozen=True)
class Entry:
    """A line of a legend.

    Attributes:
        share: of the picture's pixels.
        count: number of segments; 1 is not written.
    """

    name: str
    color: Sequence[int]
    share: float
    count: int = 1

    @property
    def text(self) -> str:
        """What stands behind the colour."""
        times = f" ×{self.count}" if self.count > 1 else ""
        percent = f"{self.share:.0%}" if self.share >= 0.01 else "<1%"
        return f"{self.name}{times} {percent}"


def with_legend(picture: np.ndarray, entries: Sequence[Entry]) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB with a legend below, largest share first.

    The result is as wide as the picture, or as the longest entry where that is more.
    """
    if not entries:
        return picture
    entries = sorted(entries, key=lambda entry: -entry.share)
    height, width = picture.shape[:2]
    size = font_size(height, width)
    pad, line = round(0.8 * size), round(1.7 * size)
    widths = [text_width(entry.text, size) + 2 * size for entry in entries]
    width = max(width, max(widths) + pad)
    corners, x, y = [], pad, pad // 2
    for wide in widths:
        if x > pad and x + wide > width:
            x, y = pad, y + line
        corners.append((x, y))
        x += wide + pad
    strip = Image.new("RGB", (width, y + line + pad // 2), GROUND)
    draw = ImageDraw.Draw(strip)
    for entry, (x, y) in zip(entries, corners, strict=True):
        top = y + (line - size) // 2
        square = (x, top, x + size - 1, top + size - 1)
        draw.rectangle(square, tuple(map(int, entry.color)), INK)
        draw.text((x + round(1.5 * size), y + line // 2), entry.text, INK, font(size), anchor="lm")
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    canvas[:, : picture.shape[1]] = picture
    return np.vstack([canvas, np.asarray(strip)])
