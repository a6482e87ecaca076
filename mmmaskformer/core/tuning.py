"""Numbers that were tuned on machines, and what each was tuned on.

None of them changes a result by more than the order of its sums. Whoever has another machine looks
here first.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator

import torch

CPU_CACHE = 20 << 20
"""Bytes of last-level cache that a chunk of full-size masks may fill on a CPU; chunks that leave it
are slow. Tuned on two cores of an AMD EPYC with 32 MB of shared cache."""

GPU_SHARE = 100
"""A chunk may fill one part in so many of a GPU's memory: that keeps the GPU busy and is little
beside the activations of a training step. Not tuned: nothing was measured on a GPU."""

TEMPORARIES = 10
"""Full-size float32 arrays that are alive at once while a chunk is worked on; counted, not
tuned."""

BAND_ELEMENTS = defaultdict(lambda: 1 << 24, cpu=1 << 21)
"""Elements of score map per band, by kind of device. On a CPU, 8 MB stay in the cache and are
memory that the C library's heap reuses; larger blocks are mapped, and zeroed by the kernel, page
by page, for each band anew. Tuned on two cores of an AMD EPYC with glibc; not tuned on a GPU."""

FOLD_SHARE = 2 / 3
"""The folded convolution pays in training while it has fewer masks an image than this share of the
embedding's channels. Tuned on R50 with images of 512x512 on two cores of an AMD EPYC."""

TRITON_BLOCK = 256
"""Cells of a mask per program of the Triton kernels, a power of two. Chosen by the compiler's
report for sm_80 and sm_90: 512 cells need three times the registers, and 1024 spill them."""


@functools.lru_cache(maxsize=8)
def chunk_elements(device: torch.device) -> int:
    """Elements of a full-size chunk whose temporaries fill what the device grants them."""
    memory = CPU_CACHE
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory // GPU_SHARE
    return memory // (4 * TEMPORARIES)


def chunks(rows: int, elements_per_row: int, device: torch.device) -> Iterator[slice]:
    """Slices over `rows`, each of about `chunk_elements` elements and at least one row."""
    step = max(1, chunk_elements(device) // max(1, elements_per_row))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
