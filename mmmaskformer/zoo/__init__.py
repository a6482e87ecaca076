"""Models by name: every config of the package, and the weights that were released for some.

Importing this loads nothing of torch or OpenMMLab; `load` and `weights` do.
"""

from typing import Any

from .catalogue import Model, config_file, models, names

__all__ = ["Model", "config_file", "models", "names"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from .loading import load

        return load
    if name == "weights":
        from .releases import weights

        return weights
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
