"""Words of messages."""

from __future__ import annotations

from collections.abc import Iterable


def unreadable(what: str, error: Exception) -> ValueError:
    """The error of an image file that can not be decoded.

    Args:
        what: what the file is, and its path.
        error: the decoder's; of pillow's that name the address of a buffer the kind is told.
    """
    kind, text = type(error).__name__, str(error)
    if kind == "DecompressionBombError":
        return ValueError(f"{what} is too large: {text}; raise PIL.Image.MAX_IMAGE_PIXELS for it")
    reason = kind if " object at 0x" in text else f"{kind}: {text}"
    return ValueError(f"{what} can not be read ({reason}); it is damaged, incomplete or no image")


def listing(values: Iterable, most: int = 8) -> str:
    """The first values, and how many more there are; what is not printable becomes `?`."""
    values = list(values)
    shown = (printable(str(value)) for value in values[:most])
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(shown) + more


def printable(text: str) -> str:
    """The text with `?` for what is not printable."""
    return "".join(c if c.isprintable() else "?" for c in text)
