"""mmengine's FSDPStrategy for today's torch.

mmengine 0.10.7 clips the part of the gradient that a process holds by that part's own norm, passes
torch the optimizer's state in the wrong place when it resumes, and needs a GPU.
"""

from __future__ import annotations

import torch
from mmengine import _strategy
from mmengine.device import get_device
from mmengine.optim import BaseOptimWrapper
from torch.distributed.fsdp import FullyShardedDataParallel

from ..registry import STRATEGIES


@STRATEGIES.register_module()
class FSDPStrategy(_strategy.FSDPStrategy):
    """Fully sharded training, whose checkpoints are whole, as those of other runs.

    Args:
        model_wrapper: arguments of `MMFullyShardedDataParallel`.
        state_dict_cfg: mmengine's; `full` or its long form.

    Raises:
        ValueError: `state_dict_cfg` asks for a file per process, which nothing here reads.
    """

    def __init__(
        self, *, model_wrapper: dict | None = None, state_dict_cfg: str | dict = "full", **kwargs
    ):
        on_cpu = get_device() == "cpu"
        if on_cpu:
            model_wrapper = dict(model_wrapper or {}, device_id=torch.device("cpu"))
        super().__init__(model_wrapper=model_wrapper, state_dict_cfg=state_dict_cfg, **kwargs)
        if not self._is_full_state_dict():
            raise ValueError(
                f"strategy.state_dict_cfg={state_dict_cfg!r} is not supported: --resume and "
                "tools/test.py read whole checkpoints, 'full'"
            )
        if on_cpu:
            # torch frees the storage it "moved to the CPU", and crashes.
            self.state_dict_config.offload_to_cpu = False
            self.optim_state_dict_config.offload_to_cpu = False

    def build_optim_wrapper(self, optim_wrapper, model=None) -> BaseOptimWrapper:
        """The wrapper, which clips by the norm of the whole gradient."""
        wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(wrapper, "clip_func", None) is torch.nn.utils.clip_grad_norm_:
            wrapper.clip_func = lambda parameters, **limits: model.clip_grad_norm_(**limits)
        return wrapper

    def model_state_dict(self) -> dict:
        """Plain tensors: torch's carry an attribute, which pickles as code."""
        return {name: value.detach() for name, value in super().model_state_dict().items()}

    def load_optim_state_dict(self, state_dict: dict) -> None:
        optimizer = self.optim_wrapper.optimizer
        state_dict = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=optimizer, optim_state_dict=state_dict
        )
        self.optim_wrapper.load_state_dict(state_dict)
