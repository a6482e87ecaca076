"""Mixed precision: mmengine's, and ours without a GPU, where mmengine has none."""

import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS

AMP_SETTINGS = ("loss_scale", "dtype", "use_fsdp")
"""What mmengine's AmpOptimWrapper has and OptimWrapper has not."""


def wrapper_class(optim_wrapper: object) -> type | None:
    """What the config of an optimizer wrapper builds; None where that is nothing known."""
    kind = optim_wrapper.get("type", "OptimWrapper") if isinstance(optim_wrapper, Mapping) else None
    return OPTIM_WRAPPERS.get(kind) if isinstance(kind, str) else kind


def use_amp(optim_wrapper: MutableMapping) -> None:
    """Change the config of a plain optimizer wrapper to mmengine's of mixed precision.

    The loss is scaled dynamically, unless the config has another `loss_scale`.

    Raises:
        ValueError: its wrapper is one that sees to the precision itself.
    """
    found = wrapper_class(optim_wrapper)
    if found not in (OptimWrapper, AmpOptimWrapper, CPUAmpOptimWrapper):
        raise ValueError(
            f"--amp: optim_wrapper.type={optim_wrapper['type']!r}: it must be 'OptimWrapper'"
        )
    optim_wrapper["type"] = "AmpOptimWrapper"
    optim_wrapper.setdefault("loss_scale", "dynamic")


def use_cpu_amp(optim_wrapper: MutableMapping) -> None:
    """Change a config of mmengine's wrapper of mixed precision to ours, without its settings."""
    dtype = optim_wrapper.get("dtype")
    if dtype not in (None, "bfloat16", torch.bfloat16):
        warnings.warn(
            f"optim_wrapper.dtype={dtype}: without a GPU, mixed precision computes in bfloat16",
            stacklevel=2,
        )
    optim_wrapper["type"] = "mmmaskformer.CPUAmpOptimWrapper"
    for key in AMP_SETTINGS:
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
