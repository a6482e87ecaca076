"""mmseg's Swin Transformer with symbolic sizes.

mmseg's windows compute sizes as Python numbers (`int(a / b)`, `math.ceil`, `if padding > 0`), which
pins batch, height and width to those of the example. While a model is traced, the functions here
stand in for them; they compute the same values with whole numbers that stay symbols.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.models.utils.embed import AdaptivePadding
from torch import Tensor
from torch.nn import functional as F

OTHER_REGION = -100.0
"""What mmseg adds to the attention between pixels that were not neighbours before the shift."""


@contextmanager
def symbolic_sizes() -> Iterator[None]:
    """Swin's functions with symbolic sizes in place of mmseg's."""
    replaced = ((ShiftWindowMSA, attend_in_windows), (AdaptivePadding, pad_to_stride))
    originals = [(cls, cls.forward) for cls, _ in replaced]
    try:
        for cls, forward in replaced:
            cls.forward = forward
        yield
    finally:
        for cls, forward in originals:
            cls.forward = forward


def attend_in_windows(self: ShiftWindowMSA, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
    """`ShiftWindowMSA.forward`: tokens (B, h w, D) to the same, attending within windows."""
    height, width = hw_shape
    side, shift = self.window_size, self.shift_size
    batch, _, channels = query.shape
    down, across = _ceil(height, side), _ceil(width, side)
    # Products of symbols, from which it follows that the windows divide them.
    rows, columns = down * side, across * side
    x = query.view(batch, height, width, channels)
    x = F.pad(x, (0, 0, 0, columns - width, 0, rows - height))
    mask = None
    if shift:
        x = torch.roll(x, (-shift, -shift), (1, 2))
        regions = _regions(rows, side, shift, x)[:, None] * 3 + _regions(columns, side, shift, x)
        regions = _partition(regions[None, :, :, None], down, across, side)[..., 0]
        apart = regions[:, None] != regions[:, :, None]
        mask = torch.where(apart, OTHER_REGION, 0.0).to(x.dtype)
    windows = self.w_msa(_partition(x, down, across, side), mask=mask)
    x = windows.view(batch, down, across, side, side, channels).transpose(2, 3)
    x = x.reshape(batch, rows, columns, channels)
    if shift:
        x = torch.roll(x, (shift, shift), (1, 2))
    return self.drop(x[:, :height, :width].reshape(batch, height * width, channels))


def _partition(x: Tensor, down: int, across: int, side: int) -> Tensor:
    """(B, rows, columns, D) to windows (B * down * across, side * side, D)."""
    batch, _, _, channels = x.shape
    x = x.view(batch, down, side, across, side, channels).transpose(2, 3)
    return x.reshape(batch * down * across, side * side, channels)


def _regions(length: int, side: int, shift: int, like: Tensor) -> Tensor:
    """Which of the three parts of a shifted axis each position belongs to."""
    position = torch.arange(length, device=like.device)
    return (position >= length - side).long() + (position >= length - shift).long()


def pad_to_stride(self: AdaptivePadding, x: Tensor) -> Tensor:
    """`AdaptivePadding.forward` of patches that do not overlap."""
    if self.padding != "corner" or self.kernel_size != self.stride or self.dilation != (1, 1):
        raise ValueError(
            f"the backbone's patches have the kernel {self.kernel_size}, the stride "
            f"{self.stride} and the padding {self.padding!r}; wanted patches that do not overlap, "
            "padded in the corner"
        )
    sizes = zip(x.shape[-2:], self.stride, strict=True)
    below, right = (_ceil(length, patch) * patch - length for length, patch in sizes)
    return F.pad(x, (0, right, 0, below))


def _ceil(length: int, part: int) -> int:
    """The number of parts that cover a length; of negative numbers ONNX's division is another."""
    return (length + part - 1) // part
