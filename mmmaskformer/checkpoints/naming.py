"""Weights of other implementations under this package's names, dict to dict.

Nothing here reads a file or builds a model. A source is recognised by its names; each of its
names is rewritten by its format's rules, dropped for a stated reason, or reported as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..utils.text import listing
from .formats import FORMATS, Format


class CheckpointError(ValueError):
    """Weights that are not what they should be; the message says what they are."""


@dataclass(frozen=True)
class Conversion:
    """What became of a source.

    Attributes:
        source: the recognised format.
        state_dict: our names to tensors; those not rearranged are the source's own.
        unused: source names that were left out, and why.
    """

    source: Format
    state_dict: dict[str, Tensor]
    unused: dict[str, str]


def convert(weights: Mapping[str, Tensor]) -> Conversion:
    """Rename and rearrange the weights of a known implementation.

    Raises:
        CheckpointError: unknown format, or names that no rule of the format covers.
    """
    prefix = "module." if all(name.startswith("module.") for name in weights) else ""
    source = recognise([name[len(prefix) :] for name in weights])
    state_dict: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    sources: dict[str, str] = {}
    unused: dict[str, str] = {}
    unknown: list[str] = []
    for full_name, tensor in weights.items():
        name = full_name[len(prefix) :]
        reason = source.reason_to_drop(name)
        new = source.rename(name)
        if reason is not None:
            unused[full_name] = reason
        elif new is None:
            unknown.append(full_name)
        elif new in sources:
            raise CheckpointError(f"{sources[new]} and {full_name} are the same weight, {new}")
        elif "@" in new:  # the source keeps query, key and value apart
            whole, part = new.split("@")
            parts.setdefault(whole, {})[int(part)] = tensor
        else:
            state_dict[new] = rearrange(new, tensor, source)
        if new is not None:
            sources[new] = full_name
    if unknown:
        raise CheckpointError(
            f"the names are those of {source.name}, but {len(unknown)} of {len(weights)} are "
            f"unknown: {listing(unknown, 4)}"
        )
    for whole, pieces in parts.items():
        if len(pieces) != 3:
            raise CheckpointError(f"query, key or value of {whole} is missing")
        state_dict[whole] = torch.cat([pieces[i] for i in range(3)])
    for name in [n for n in state_dict if n.endswith(".running_mean")]:
        # Frozen batch norms do not count their batches.
        counter = name.replace("running_mean", "num_batches_tracked")
        state_dict.setdefault(counter, torch.tensor(0))
    return Conversion(source, state_dict, unused)


def recognise(names: list[str]) -> Format:
    """The format that the names belong to.

    Raises:
        CheckpointError: they belong to none; lists the known ones.
    """
    for source in FORMATS:
        if any(re.match(source.mark, name) for name in names):
            return source
    raise CheckpointError(
        f"weights named {listing(names, 4)} belong to no implementation that is known here: "
        + "; ".join(source.name for source in FORMATS)
    )


def rearrange(name: str, tensor: Tensor, source: Format) -> Tensor:
    """The values of a renamed tensor in the order that our model reads."""
    if source.merges_by_position and re.search(r"stages\.\d\.downsample\.", name):
        return merge_by_channel(tensor)
    if name.endswith("relative_position_index") and tensor.ndim == 1:
        side = round(tensor.numel() ** 0.5)
        return tensor.view(side, side)
    return tensor


def merge_by_channel(tensor: Tensor) -> Tensor:
    """Reorder the last dimension, four times the channels, of Swin's patch merging.

    The original joins four neighbours (row, column) in the order (0, 0), (1, 0), (0, 1), (1, 1),
    each with all its channels; mmseg has, channel by channel, (0, 0), (0, 1), (1, 0), (1, 1).
    """
    neighbours = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return neighbours.transpose(-1, -2).flatten(-2)
