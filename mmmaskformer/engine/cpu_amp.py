"""Mixed precision without a GPU, which mmengine's AmpOptimWrapper does not know."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


def use_mixed_precision(optim_wrapper: MutableMapping) -> None:
    """Change the config of an optimizer wrapper to one of mixed precision.

    It is mmengine's, with dynamic scaling of the loss, on a GPU, and ours on a CPU.
    """
    if torch.cuda.is_available():
        optim_wrapper["type"] = "AmpOptimWrapper"
        optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        optim_wrapper["type"] = "mmmaskformer.CPUAmpOptimWrapper"
        for key in ("loss_scale", "dtype", "use_fsdp"):  # of mmengine's wrapper
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
