"""Whether the weights of a checkpoint are those of a model; mmengine loads what happens to fit."""

from __future__ import annotations

import logging
import re

import torch
from mmengine.logging import print_log

from ..checkpoints.description import compare, describe, unlike
from ..utils.text import listing


def checked_weights(checkpoint, fresh: dict, path: str) -> dict:
    """The weights in the content of a checkpoint, by name.

    Args:
        fresh: the weights of the model when it was built.

    Raises:
        ValueError: it is no dict, such as a list of tensors, or a weight is none, is of another
            kind of number, or is NaN or infinite.
    """
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"checkpoint {path} holds a {type(checkpoint).__name__}; wanted a dict "
            "of weights, or one with state_dict and meta"
        )
    weights = checkpoint.get("state_dict", checkpoint)
    for problem in unlike(weights, fresh):
        raise ValueError(f"checkpoint {path}: {problem}")
    check_finite_weights(weights, fresh, path)
    return weights


def check_finite_weights(weights: dict, fresh: dict, path: str) -> None:
    """Raise ValueError for weights that are NaN or infinite, unless they were when built, as the
    entries of a causal mask are."""
    bad = [
        name
        for name, weight in weights.items()
        if isinstance(weight, torch.Tensor)
        if weight.is_floating_point() and not weight.isfinite().all()
        if name not in fresh or fresh[name].isfinite().all()
    ]
    if bad:
        raise ValueError(
            f"checkpoint {path} has NaN or infinite weights, as its training diverged; take an "
            f"earlier one: {listing(bad, most=4)}"
        )


def check_fit(found: dict[str, tuple], wanted: dict[str, tuple], path: str, config: str) -> None:
    """Raise ValueError if a weight of a model is missing or of another shape in a checkpoint, or
    left over in the backbone or the head; what is named by shapes."""
    problems = [
        problem
        for problem in compare(found, wanted)
        if "left over" not in problem or problem.startswith(("backbone.", "decode_head."))
    ]
    if problems:
        raise ValueError(
            f"checkpoint {path} does not fit the config {config}: it holds {describe(found)}; the "
            f"config builds {describe(wanted)}: {listing(problems, 4)}. "
            "Weights of other implementations: tools/convert_weights.py"
        )


def report_fit(found: dict[str, tuple], wanted: dict[str, tuple], path: str) -> None:
    """Say which weights of a model `load_from` does not fill; ValueError if it fills none."""
    problems = compare({name: found[name] for name in found if name in wanted}, wanted)
    fitting = len(wanted) - len(problems)
    text = f"load_from {path}: {fitting} of the model's {len(wanted)} weights are in it"
    if not fitting:
        raise ValueError(
            f"{text}, so training would start from random ones; it holds {describe(found)}: "
            f"{listing(found, most=4)}. Weights of other implementations: tools/convert_weights.py"
        )
    if problems:
        print_log(f"{text}; not: {listing(problems, most=4)}", "current", logging.WARNING)


def shapes_of(state_dict: dict) -> dict[str, tuple]:
    """Shapes of the tensors, without `module.` and without counters, which no result needs."""
    return {
        re.sub(r"^module\.", "", name): tuple(tensor.shape)
        for name, tensor in state_dict.items()
        if isinstance(tensor, torch.Tensor) and not name.endswith("num_batches_tracked")
    }
