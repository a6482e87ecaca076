"""What would make a GPU wait, and how many kernels it would launch, counted on a CPU."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mmmaskformer

PACKAGE = Path(mmmaskformer.__file__).parent
READS = {"_local_scalar_dense", "is_nonzero", "equal"}
SIZES = {"nonzero", "masked_select", "bincount", "unique_dim", "_unique2", "unique_consecutive"}
"""Operations whose result has a size that only the device knows."""


class DeviceWaits(TorchDispatchMode):
    """Follows the tensors that would be on the device, from those given to it on.

    A tensor is on the device if it was made of one that is. `torch.tensor`, `new_tensor`,
    `from_numpy` and `cpu` make tensors of the host, and `to(…, non_blocking=True)` sends them to
    the device without a wait; whatever else brings the two together is a wait. What is made of
    nothing, such as zeros, is on either side.

    Attributes:
        waits: what waited, and the line of the package that asked for it.
        launches: number of operations on the device that are no views.
    """

    def __init__(self, *tensors: torch.Tensor) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.launches = 0
        self.following = True
        self.device: dict[int, torch.Tensor] = {}
        self.host: dict[int, torch.Tensor] = {}
        for tensor in tensors:
            self.mark(self.device, tensor)

    @staticmethod
    def mark(side: dict, tensor: torch.Tensor) -> None:
        if tensor.numel():  # kept, so that no other tensor gets its memory
            side[tensor.untyped_storage().data_ptr()] = tensor.detach()

    def on(self, side: dict, tensor: torch.Tensor) -> bool:
        return bool(tensor.numel()) and tensor.untyped_storage().data_ptr() in side

    def wait(self, what: str) -> None:
        lines = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(PACKAGE)]
        place = f" at {Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else ""
        self.waits.append(what + place)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        inputs = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, torch.Tensor)]
        result = func(*args, **(kwargs or {}))
        if not self.following:
            return result
        there = [self.on(self.device, tensor) for tensor in inputs]
        if not any(there):
            if inputs and any(self.on(self.host, tensor) for tensor in inputs):
                self.mark_results(self.host, result)
            return result
        name = func._schema.name.split("::")[1]
        masks = name in ("index", "index_put_", "_index_put_impl_") and args[1]
        if name in READS | SIZES or any(
            m is not None and m.dtype == torch.bool for m in masks or ()
        ):
            self.wait(name)
        foreign = any(self.on(self.host, tensor) and tensor.ndim for tensor in inputs)
        # A number that is assigned to one element.
        if foreign or (name == "copy_" and args[0].ndim == args[1].ndim == 0 and not there[1]):
            self.wait(f"copy to the device for {name}")
        self.launches += not func.is_view and name not in ("detach", "_local_scalar_dense")
        self.mark_results(self.device, result)
        return result

    def mark_results(self, side: dict, result) -> None:
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.mark(side, tensor)

    def copied(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy that is on no side yet."""
        self.following = False
        try:
            return tensor.detach().clone()
        finally:
            self.following = True

    def made_on_host(self, make):
        def made(*args, **kwargs):
            tensor = make(*args, **kwargs)
            self.mark(self.host, tensor)
            return tensor

        return made

    def read(self, name: str, method):
        def reading(tensor, *args, **kwargs):
            if not self.on(self.device, tensor):
                return method(tensor, *args, **kwargs)
            self.wait(name)
            copy = self.copied(tensor)
            self.mark(self.host, copy)
            return method(copy, *args, **kwargs)

        return reading

    def sent(self, method):
        def to(tensor, *args, **kwargs):
            if kwargs.get("non_blocking") and self.on(self.host, tensor):
                tensor = self.copied(tensor)
            return method(tensor, *args, **kwargs)

        return to

    def __enter__(self):
        self.patches = ExitStack()
        for owner, name in ((torch, "tensor"), (torch, "from_numpy"), (torch.Tensor, "new_tensor")):
            made = self.made_on_host(getattr(owner, name))
            self.patches.enter_context(mock.patch.object(owner, name, made))
        for name in ("cpu", "tolist", "numpy"):
            reading = self.read(name, getattr(torch.Tensor, name))
            self.patches.enter_context(mock.patch.object(torch.Tensor, name, reading))
        sent = self.sent(torch.Tensor.to)
        self.patches.enter_context(mock.patch.object(torch.Tensor, "to", sent))
        return super().__enter__()

    def __exit__(self, *error):
        self.patches.close()
        return super().__exit__(*error)
