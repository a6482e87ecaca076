"""MaskFormer for MMSegmentation and MMDetection.

Importing this loads nothing of OpenMMLab: `stack` waits until somebody does. `mmmaskformer.core`
needs torch and scipy only.
"""

from typing import Any

from . import stack
from .version import __version__

__all__ = ["__version__"]

stack.mend_when_imported()


def __getattr__(name: str) -> Any:
    if name in ("Prediction", "Predictor"):
        from . import inference

        return getattr(inference, name)
    if name == "load":
        from .zoo import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
