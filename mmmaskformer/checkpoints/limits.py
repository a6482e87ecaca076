"""What reading one file may cost, for its size."""

from __future__ import annotations

import os
import pickle
from typing import NoReturn

VARIABLE = "MMMASKFORMER_READ_LIMIT"
"""Environment variable that multiplies every limit."""


class Limits:
    """Room for one file.

    Args:
        size: of the file, in bytes.

    Attributes:
        objects: steps that its pickles may take.
        bytes: that its records, arrays and tensors may have altogether. Files hold them as they
            are, so what needs more than a few times the file's size was made to need it.
    """

    def __init__(self, size: int = 0) -> None:
        text = os.environ.get(VARIABLE, "1")
        try:
            factor = float(text)
        except ValueError:
            raise ValueError(f"{VARIABLE}={text!r}: wanted is a number, such as 2") from None
        # Real checkpoints take about a step for every eight bytes of their pickles.
        self.objects = int(500_000 * factor)
        self.factor = factor
        self.bytes = int((8 * size + (64 << 20)) * factor)

    def allow_pickle(self, size: int) -> None:
        """Make room for the steps of a pickle of so many bytes."""
        self.objects = max(self.objects, int(size / 6 * self.factor))

    def spend(self, count: int) -> None:
        """Account for bytes that are going to be needed."""
        self.bytes -= count
        if self.bytes < 0:
            self.refuse("would take far more memory than its size")

    def refuse(self, why: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it {why}; {VARIABLE}=10 allows ten times as much")
