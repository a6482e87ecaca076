"""Batch norm that never learns, and keeps nothing for backward."""

from __future__ import annotations

import copy
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


@torch.no_grad()
def folded(backbone: nn.Module) -> nn.Module:
    """The backbone, in evaluation mode, with its batch norms in the convolutions before them.

    The outputs are the same up to rounding, which is tried on noise, and take less time. The names
    of the weights change: a checkpoint must be loaded before. A backbone without `FrozenBN`, or
    whose norms do not follow the convolutions that are defined before them, is returned as it is.
    """
    modules = list(backbone.modules())
    if not any(isinstance(module, FrozenBN) for module in modules):
        return backbone
    first = next(module for module in modules if isinstance(module, nn.Conv2d))
    noise = torch.randn(1, first.in_channels, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = noise.to(first.weight)
    result = fuse_conv_bn(copy.deepcopy(backbone)).requires_grad_(False)
    pairs = zip(backbone(noise), result(noise), strict=True)
    alike = all((new - old).abs().max() <= 1e-3 * old.abs().max() for old, new in pairs)
    return result if alike else backbone


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
