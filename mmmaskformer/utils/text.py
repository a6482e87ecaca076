"""Words of messages."""

from __future__ import annotations

from collections.abc import Iterable


def listing(values: Iterable, most: int = 8) -> str:
    """The first values, and how many more there are; what is not printable becomes `?`."""
    values = list(values)
    shown = ("".join(c if c.isprintable() else "?" for c in str(value)) for value in values[:most])
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(shown) + more
