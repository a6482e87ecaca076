"""Weights of other implementations under this package's names, dict to dict.

Nothing here reads a file or builds a model. A source is recognised by its names; each of its
names is rewritten by its format's rules, dropped for a stated reason, or reported as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
    source, prefix = recognise(weights)
    state_dict: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    sources: dict[str, str] = {}
    unused: dict[str, str] = {}
    unknown: list[str] = []
    for full_name, tensor in weights.items():
        new, reason = _rename(unwrapped(full_name), source, prefix)
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


def _rename(name: str, source: Format, prefix: str) -> tuple[str | None, str | None]:
    """A name's new name, and why it is left out; None where there is none."""
    if name in COUNTERS:
        return None, "counts the averages of the model"
    if not name.startswith(prefix):
        return None, f"is not under {prefix!r}, where the model is"
    name = name[len(prefix) :]
    return source.rename(name), source.reason_to_drop(name)


WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""Parts of names that torch's wrappers of modules (and of parts of them) add."""
COUNTERS = {"steps", "n_averaged"}
"""What averaged models keep beside their weights."""


def unwrapped(name: str) -> str:
    """A name without what torch's wrappers add to it."""
    return WRAPPERS.sub("", name)


def recognise(weights: Iterable[str]) -> tuple[Format, str]:
    """The format that the names belong to, and the prefix under which its model is.

    Programs around a model (Lightning, averaging, detectors that are trained by others) put its
    names under theirs; the prefix is what stands before a format's own names.

    Raises:
        CheckpointError: they belong to none, and it lists the known ones; or to several models.
    """
    names = [unwrapped(name) for name in weights]
    for source in FORMATS:
        mark = re.compile(rf"((?:[^.]+\.)*?)(?:{source.mark})")
        prefixes = sorted({match[1] for match in map(mark.match, names) if match})
        if len(prefixes) > 1:
            raise CheckpointError(
                f"there are {len(prefixes)} models in the file, under {listing(prefixes, 4)}: save "
                "the weights of one of them"
            )
        outside = [name for name in names if prefixes and not name.startswith(prefixes[0])]
        # The backbone of another model is not what the file is.
        whole = COUNTERS.issuperset(outside) and "backbone." not in "".join(prefixes)
        if prefixes and (source.is_segmentor or whole):
            return source, prefixes[0]
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
