"""What a model can not do without: its convolutions and matrix products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NAMES = {"convolution", "conv2d", "linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "mv"}


class Products(TorchDispatchMode):
    """Notes the convolutions, matrix products and attentions of what runs in it.

    Attributes:
        calls: operation, arguments and keywords, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.split("::")[1]
        if name in NAMES or "scaled_dot_product" in name:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def floor_of(function: Callable[[], object]) -> Callable[[], None]:
    """A function that does the convolutions and products of this one again, on the same tensors and
    in the same order, and nothing between them."""
    with torch.no_grad(), Products() as products:
        function()
    calls = products.calls

    @torch.no_grad()
    def run() -> None:
        for func, args, kwargs in calls:
            func(*args, **kwargs)

    return run
