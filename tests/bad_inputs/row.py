"""One row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KINDS = ("good", "bad type", "bad value", "missing", "unreadable", "contradictory", "hostile")


@dataclass(frozen=True)
class Row:
    """What is tried.

    Attributes:
        tool: a script of tools/ without `.py`, or "python".
        kind: one of KINDS.
        arguments: of the tool, split as a shell does, in a folder with the good inputs.
        wants: words (a regular expression) of the one line that it should come to; "ok" where it
            should be accepted, with words of the output behind a colon ("ok: 4 images");
            "ok|words" where either is right.
        change: makes the good inputs bad, given their folder.
        call: what to run for "python".
    """

    tool: str
    kind: str
    arguments: str
    wants: str
    change: Callable[[Path], object] | None = None
    call: Callable[[], object] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is none of {KINDS}")

    @property
    def title(self) -> str:
        return f"{self.tool}: {self.name or self.arguments}"
