"""Checksums of a checkpoint's tensors: written when it is saved, compared when it is read.

A file system, a copy or a network can change bytes, and a changed weight is still a weight. The
archive's own checksums of its records are not looked at by torch's reader.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

KEY = "checksum"
"""The entry of a checkpoint that holds the checksums, beside `state_dict`."""
ALGORITHM = "crc32 of names and of 64-bit sums per 4 KiB"


def stamp(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What the writer puts under `KEY`: a checksum for each entry that contains tensors.

    Entries have checksums of their own, so that a checkpoint whose optimizer was taken out
    afterwards is still a whole one.
    """
    entries = {name: content for name, content in checkpoint.items() if name != KEY}
    value = {name: checksum(content) for name, content in entries.items() if _has_tensor(content)}
    return dict(algorithm=ALGORITHM, value=value)


def changed(checkpoint: Mapping[str, Any]) -> list[str]:
    """Names of the entries that do not have the checksum that was written with them.

    Without a checksum, or with one of another algorithm, nothing is known to have changed.
    """
    written = checkpoint.get(KEY)
    if not isinstance(written, Mapping) or written.get("algorithm") != ALGORITHM:
        return []
    value = written.get("value")
    if not isinstance(value, Mapping):
        return [KEY]
    return [
        name
        for name, wanted in value.items()
        if name in checkpoint and checksum(checkpoint[name]) != wanted
    ]


def checksum(content: Any) -> str:
    """A checksum of all tensors in nested dicts, lists and tuples, of their names, shapes and
    types; the same on every device and for every memory layout."""
    total = 0
    for name, tensor in _tensors(content):
        label = f"{name} {tuple(tensor.shape)} {tensor.dtype}\n"
        total = zlib.crc32(label.encode("utf-8", "surrogatepass"), total)
        if not tensor.is_meta and tensor.layout == torch.strided and not tensor.is_quantized:
            total = _add_values(tensor, total)
    return f"{total:08x}"


PAGE = 512
"""Words of 8 bytes that are summed: sums are fast, and the crc32 of the sums keeps their order."""


def _add_values(tensor: Tensor, total: int) -> int:
    values = tensor.detach().contiguous().resolve_conj().resolve_neg()
    bytes_ = values.reshape(-1).view(torch.uint8).cpu()
    whole = bytes_.numel() // (8 * PAGE) * (8 * PAGE)
    if whole and bytes_.storage_offset() % 8 == 0:
        words = bytes_[:whole].view(torch.int64).view(-1, PAGE)
    else:  # a copy begins where a word may begin
        words = bytes_[:whole].clone().view(torch.int64).view(-1, PAGE)
    total = zlib.crc32(words.sum(1).numpy().data, total)
    return zlib.crc32(bytes_[whole:].numpy().data, total)


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its path, in order; loops and shared containers are walked once."""
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("", content)]
    while pending:
        name, value = pending.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            below = [
                (f"{name}.{key}", inner)
                for key, inner in items
                if isinstance(key, (str, int)) and isinstance(inner, (Tensor, Mapping, list, tuple))
            ]
            pending.extend(reversed(below))


def _has_tensor(content: Any) -> bool:
    return next(_tensors(content), None) is not None
