"""What a training step saves for backward, module by module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from . import models
from .suite import Settings, naming

OUTSIDE = "(the model itself)"
"""Where a table puts what is saved while none of the model's parts runs."""


@dataclass(frozen=True)
class Saved:
    """A storage that autograd keeps until backward.

    Attributes:
        module: name of the module that ran when it was first saved; "" for the model itself.
        kind: the module's class.
    """

    module: str
    kind: str
    bytes: int


def saved_for_backward(model: nn.Module, forward: Callable[[], object]) -> list[Saved]:
    """The storages that `forward`, which runs the model, saves for backward, in their order.

    A storage counts once and whole, however many tensors of it are saved. Parameters and buffers
    do not count, nor does what autograd holds otherwise: what a custom function keeps without
    `save_for_backward`. The tensors are let go at once, so a ledger takes less memory than the
    step itself; backward is impossible after it.
    """
    known = [tensor.untyped_storage() for tensor in (*model.parameters(), *model.buffers())]
    # Weak references to storages: their addresses are not given to others as long as these live.
    seen = {storage._cdata: StorageWeakRef(storage) for storage in known}
    ledger: list[Saved] = []
    with running(model) as stack:

        def pack(tensor: Tensor) -> None:
            storage = tensor.untyped_storage()
            if storage._cdata not in seen:
                seen[storage._cdata] = StorageWeakRef(storage)
                ledger.append(Saved(*stack[-1], storage.nbytes()))

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda nothing: nothing):
            forward()
    return ledger


@contextmanager
def running(model: nn.Module) -> Iterator[list[tuple[str, str]]]:
    """Name and class of the modules that run, the innermost last."""
    names = {module: (name, type(module).__name__) for name, module in model.named_modules()}
    stack = [names[model]]

    def enter(module: nn.Module, _inputs: object) -> None:
        if module in names:
            stack.append(names[module])

    def leave(module: nn.Module, _inputs: object, _outputs: object) -> None:
        if module in names:
            stack.pop()

    hooks = (
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=True),
    )
    try:
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


def ledger_of(config: str, settings: Settings) -> list[Saved]:
    """What a training step of a config's model saves, its losses included."""
    cfg = settings.load(config)
    images, samples = settings.make_batch(settings.batch, cfg)
    model = models.build(cfg, settings.device).train()
    images = models.laid_out(model, images)

    @naming(config)
    def forward() -> None:
        with models.precision(settings.amp, settings.device):
            model.parse_losses(model.loss(images, samples))

    return saved_for_backward(model, forward)


def by_place(ledger: Sequence[Saved], depth: int) -> dict[str, int]:
    """Bytes of every part of the model, named by the first `depth` parts of its name."""
    return _sums(ledger, lambda saved: ".".join(saved.module.split(".")[:depth]) or OUTSIDE)


def by_kind(ledger: Sequence[Saved]) -> dict[str, int]:
    """Bytes of every class of modules, the largest first."""
    sums = _sums(ledger, lambda saved: saved.kind)
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))


def _sums(ledger: Sequence[Saved], key: Callable[[Saved], str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for saved in ledger:
        sums[key(saved)] = sums.get(key(saved), 0) + saved.bytes
    return sums


def cells(
    ledgers: dict[str, list[Saved]], sums_of: Callable[[list[Saved]], dict[str, int]], what: str
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table in MiB with a column for each config, and their sums last."""
    columns = [sums_of(ledger) for ledger in ledgers.values()]
    rows = [
        [name, *(f"{column[name] / 2**20:.1f}" if name in column else "-" for column in columns)]
        for name in dict.fromkeys(name for column in columns for name in column)
    ]
    totals = (sum(column.values()) / 2**20 for column in columns)
    return [what, *ledgers], [*rows, ["all", *(f"{total:.1f}" for total in totals)]]
