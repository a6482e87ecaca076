"""Numbers of the original implementation. README.md says how they were made and thinned."""

import gzip
import io
import json
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from benchmarks.metafile import read_table as recipes

FOLDER = Path(__file__).resolve().parent


def load(name):
    """The numbers of one file of torch's, packed with gzip."""
    data = gzip.decompress((FOLDER / f"{name}.pt.gz").read_bytes())
    return torch.load(io.BytesIO(data), weights_only=True)


@lru_cache(maxsize=1)
def parameter_lists():
    """Names, types and shapes of each released model's tensors, with what its optimizer does.

    The keys are the recipe table's: `configs/ade20k-150/maskformer_R50_bs16_160k.yaml`.
    """
    return json.loads(gzip.decompress((FOLDER / "state_dicts.json.gz").read_bytes()))


def slow_but_one_dataset():
    """The recipes as parameters of a test. Those of one method, backbone and task differ in the
    dataset only, so that all but the first of them are slow."""
    params, seen = [], set()
    for row in recipes():
        kind = row["method"], row["backbone"], row["task"]
        params.append(pytest.param(row, marks=[pytest.mark.slow] if kind in seen else []))
        seen.add(kind)
    return params


def seeded_weights(reference):
    """The state dict of a reference's model, under the original's names.

    `draws` lists for each seed the tensors that one generator fills, one after the other:
    (name, shape, kind, a, b, scaled). The kind "n" is a normal distribution with the standard
    deviation a and the mean b, the kind "u" a uniform one over [a, b). `scaled` is None or
    (rows, factor): the first rows are multiplied. `overrides` are whole tensors.
    """
    weights = {}
    for seed, tensors in reference["draws"]:
        generator = torch.Generator().manual_seed(seed)
        for name, shape, kind, a, b, scaled in tensors:
            if kind == "n":
                tensor = b + a * torch.randn(shape, generator=generator)
            else:
                tensor = a + (b - a) * torch.rand(shape, generator=generator)
            if scaled is not None:
                rows, factor = scaled
                tensor[:rows] *= factor
            weights[name] = tensor
    return {**weights, **reference["overrides"]}


def thinned(tensor, most=40_000):
    """At most this many entries of a tensor, evenly spaced, and its largest absolute value.

    The step is a prime that divides no dimension, so that every channel, row and column is met.
    """
    step = 1
    if tensor.numel() > most:
        step = next(
            p
            for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
            if p * most >= tensor.numel() and all(size % p for size in tensor.shape)
        )
    return {
        "shape": list(tensor.shape),
        "step": step,
        "values": tensor.flatten()[::step].clone(),
        "largest": tensor.abs().max().item(),
    }
