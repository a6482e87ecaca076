"""Exported models on onnxruntime and numpy, without torch and without OpenMMLab.

runner = Runner("maskformer.onnx")
result = runner("street.jpg")
result.semantic, result.panoptic.segments
"""

from .result import Panoptic, Result
from .runner import Runner

__all__ = ["Panoptic", "Result", "Runner"]
