"""Parameters and FLOPs as papers count them.

FLOPs are multiply-adds of convolutions and matrix products, attention included, of all that
turns one image into its prediction: for MaskFormer also the product of class probabilities and
masks, 100 x 150 x 512 x 512 = 3.9 G for ADE20K. Norms, activations and resizing are left out.
This gives the published figures of SegFormer, UperNet and DeepLabV3+ to 2%, and MaskFormer's
when what our masks save is added: they do not need the pixel embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops(model: nn.Module, predict: Callable[[], object]) -> int:
    """Multiply-adds of `predict`, which runs the model."""
    with without_gradients(model), plain_attention(), FlopCounterMode(display=False) as counter:
        predict()
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two


@contextmanager
def without_gradients(model: nn.Module):
    """The counter follows gradients where parameters require them, also under no_grad."""
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with torch.no_grad():
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


@contextmanager
def plain_attention():
    """Attention as matrix products: the counter does not see into fused kernels."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
