"""Numbers that were tuned on machines, and what each was tuned on.

None of them changes a result by more than the order of its sums. Whoever has another machine looks
here first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import torch

CPU_CACHE = 20 << 20
"""Bytes of last-level cache that a chunk of full-size masks may fill on a CPU; chunks that leave it
are slow. Tuned on two cores of an AMD EPYC with 32 MB of shared cache."""


class Chunked(NamedTuple):
    """Work on full-size masks that is done in chunks.

    Attributes:
        arrays: float32 arrays of a chunk's size that are alive at once; counted, not tuned.
        gpu_bytes: what they may fill on a GPU.
    """

    arrays: int
    gpu_bytes: int


EAGER_LOSSES = Chunked(arrays=10, gpu_bytes=256 << 20)
"""Tuned on an H100 with masks of 512x512: the losses of 60 masks and their gradients take 15 ms
with chunks of 64 MB, 8 with 128, 5 with 256 and 4 with 648; those of 480 masks 102, 50, 39, 38."""

MATCHING_COSTS = Chunked(arrays=5, gpu_bytes=64 << 20)
"""Argued, not measured: 64 MB are a tenth of what the smallest usual step (R50, 2 images of
512x512) saves for backward, and an operation on an array takes about as long as its launch."""

BAND_ELEMENTS = defaultdict(lambda: 1 << 26, cpu=1 << 21)
"""Elements of score map per band, by kind of device. On a CPU, 8 MB stay in the cache and are
memory that the C library's heap reuses; larger blocks are mapped, and zeroed by the kernel, page
by page, for each band anew. Tuned on two cores of an AMD EPYC with glibc. On a GPU it is argued,
not measured: a band has about 20 operations, whose launches take 0.1 ms, and writing and reading
its 256 MB takes at least 0.15 ms; counted for labels of 2000x3000 with 847 classes, a quarter of
the elements needs 4.5 times as many launches."""

FOLD_SHARE = 2 / 3
"""The folded convolution pays in training while it has fewer masks an image than this share of the
embedding's channels. Tuned on R50 with images of 512x512 on two cores of an AMD EPYC."""

TRITON_BLOCK = 256
"""Cells of a mask per program of the Triton kernels, a power of two. Chosen by the compiler's
report for sm_80: 80 and 94 registers, half of them with 128 cells of a thread each, and twice as
many with 512."""


def chunk_elements(device: torch.device, work: Chunked) -> int:
    """Elements of a chunk of which the arrays of `work` fill what the device grants them."""
    memory = CPU_CACHE if device.type == "cpu" else work.gpu_bytes
    return memory // (4 * work.arrays)


def chunks(
    rows: int, elements_per_row: int, device: torch.device, work: Chunked
) -> Iterator[slice]:
    """Slices over `rows`, each of about `chunk_elements` elements and at least one row."""
    step = max(1, chunk_elements(device, work) // max(1, elements_per_row))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
