"""How many parameters a model has."""

from __future__ import annotations


def count_parameters(model) -> int:
    """All parameters of a torch module, auxiliary heads and frozen norms included; no buffers."""
    return sum(parameter.numel() for parameter in model.parameters())
