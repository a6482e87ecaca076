"""Models as single files that run without this package: ONNX, torch.export, AOTInductor."""

from .exporting import FORMATS, export

__all__ = ["FORMATS", "export"]
