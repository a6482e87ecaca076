"""Mixed precision without a GPU, which mmengine's AmpOptimWrapper does not know."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


def use_mixed_precision(optim_wrapper: MutableMapping) -> None:
    """Make the config of an optimizer wrapper mmengine's of mixed precision, where the loss is
    scaled dynamically unless it says otherwise."""
    optim_wrapper["type"] = "AmpOptimWrapper"
    optim_wrapper.setdefault("loss_scale", "dynamic")


def use_cpu_amp(optim_wrapper: MutableMapping) -> None:
    """Replace mmengine's wrapper of mixed precision in a config by ours; another one stays."""
    if OPTIM_WRAPPERS.get(optim_wrapper.get("type", "OptimWrapper")) is AmpOptimWrapper:
        optim_wrapper["type"] = "mmmaskformer.CPUAmpOptimWrapper"
        for key in ("loss_scale", "dtype", "use_fsdp"):
            optim_wrapper.pop(key, None)


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """An optimizer wrapper that runs forward passes under bfloat16 autocast on the CPU.

    Weights, gradients and updates stay float32. bfloat16 has float32's range, so there is no
    scaling of the loss.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield
