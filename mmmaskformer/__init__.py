"""MaskFormer for MMSegmentation and MMDetection.

Importing this loads nothing of OpenMMLab: `stack` waits until somebody does. `mmmaskformer.core`
needs torch and scipy only.
"""

from . import stack
from .version import __version__

__all__ = ["__version__"]

stack.mend_when_imported()
