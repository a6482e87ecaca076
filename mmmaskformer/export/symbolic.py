"""Layers of mmseg and mmcv with symbolic sizes.

Swin's windows, and padding that depends on the input, compute sizes as Python numbers
(`int(a / b)`, `math.ceil`, `if padding > 0`), which pins batch, height and width to those of the
example. While a model is traced, the functions here stand in for them; they compute the same values
with whole numbers that stay symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.models.utils.embed import AdaptivePadding
from torch import Tensor
from torch.nn import functional as F

OTHER_REGION = -100.0
"""What mmseg adds to the attention between pixels that were not neighbours before the shift."""


@contextmanager
def symbolic_sizes() -> Iterator[None]:
    """The functions here in place of those of mmseg and mmcv."""
    replaced = (
        (ShiftWindowMSA, attend_in_windows),
        (AdaptivePadding, pad_patches),
        (Conv2dAdaptivePadding, convolve_padded),
    )
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


def pad_patches(self: AdaptivePadding, x: Tensor) -> Tensor:
    """`AdaptivePadding.forward`, which lets a filter cover its input."""
    return pad(x, self.kernel_size, self.stride, self.dilation, centred=self.padding == "same")


def convolve_padded(self: Conv2dAdaptivePadding, x: Tensor) -> Tensor:
    """`Conv2dAdaptivePadding.forward`, TensorFlow's padding of convolutions."""
    x = pad(x, self.kernel_size, self.stride, self.dilation, centred=True)
    return self._conv_forward(x, self.weight, self.bias)


def pad(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    *,
    centred: bool,
) -> Tensor:
    """Zeros around (B, C, H, W), or right and below only, so that a filter covers all of it.

    Raises:
        ValueError: the filter leaves gaps, and the padding could be negative.
    """
    amounts = []
    for length, size, step, gap in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        extent = (size - 1) * gap + 1
        if extent < step:
            raise ValueError(
                f"the backbone has a filter of {extent} pixels with a stride of {step}; wanted "
                "one that leaves no gaps"
            )
        missing = (_ceil(length, step) - 1) * step + extent - length
        before = missing // 2 if centred else 0
        amounts = [before, missing - before, *amounts]  # F.pad begins with the last axis
    return F.pad(x, amounts)


def _ceil(length: int, part: int) -> int:
    """The number of parts that cover a length; of negative numbers ONNX's division is another."""
    return (length + part - 1) // part
