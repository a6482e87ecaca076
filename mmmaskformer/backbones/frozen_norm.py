"""Batch norm that never learns, and keeps nothing for backward."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..registry import MODELS


@MODELS.register_module()
class FrozenBN(nn.BatchNorm2d):
    """Batch norm with fixed averages, scale and shift, as the original's backbones have.

    It computes what `nn.BatchNorm2d` computes in evaluation mode, and has the same weights. Its
    gradient with respect to the input needs only the scale, so it does not keep the input, which
    `nn.BatchNorm2d` does; in a ResNet that is half of all activations.

    `norm_cfg=dict(type="mmmaskformer.FrozenBN", requires_grad=False)` builds it.
    """

    _abbr_ = "bn"  # for mmcv, which names a block's norms by it

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if self.weight.requires_grad or self.bias.requires_grad:
            raise ValueError("FrozenBN does not learn: set requires_grad=False in norm_cfg")
        weights = self.weight, self.bias, self.running_mean, self.running_var, self.eps
        if torch.is_grad_enabled() and x.requires_grad:
            return _FrozenNorm.apply(x, *weights)
        return normalise(x, *weights)


def fold_frozen_norms(backbone: nn.Module) -> None:
    """Make every convolution and the `FrozenBN` behind it one convolution, for prediction.

    The outputs are the same up to rounding, and take less time. The names of the weights change:
    a checkpoint must be loaded before. Backbones with other norms stay as they are.
    """
    if any(isinstance(module, FrozenBN) for module in backbone.modules()):
        fuse_conv_bn(backbone)


def normalise(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    """Batch norm with fixed averages."""
    return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)


class _FrozenNorm(torch.autograd.Function):
    """`normalise`, differentiable with respect to its input only."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(weight, var)
        ctx.eps = eps
        return normalise(x, weight, bias, mean, var, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        weight, var = ctx.saved_tensors
        scale = weight * (var + ctx.eps).rsqrt()
        # `out` rounds a product of half and float once, as batch norm's own backward does.
        result = torch.mul(grad, scale[:, None, None], out=torch.empty_like(grad))
        return result, None, None, None, None, None
