"""A model to one file that is verified before it gets its name."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from mmseg.models import EncoderDecoder
from torch import Tensor
from torch.export import Dim, ExportedProgram

from ..utils.files import replacing
from . import formats
from .description import describe
from .module import ExportedMaskFormer, eager_outputs
from .symbolic import symbolic_sizes

FORMATS = {
    "onnx": (formats.write_onnx, formats.run_onnx),
    "pt2": (formats.write_pt2, formats.run_pt2),
    "aot": (formats.write_aot, formats.run_aot),
}
"""How each format is written and run."""
TRACED = (2, 256, 320)
"""Batch, height and width of the example. Swin's windows ask for more than 224 pixels on a side:
one window is a special case for torch."""
BATCHES = (1, 3)
SIZES = ((263, 331), (352, 288))
"""What exports are verified with; the sizes are rounded up to the divisor."""
TORCH = (2, 13)
"""The oldest torch with which exports were tried."""
TOLERANCE = 1e-4
"""Largest difference between an output and the model's own, as a share of the largest value where
that is above 1."""


def export(
    model: EncoderDecoder, out: str | Path, kind: str = "onnx", *, scores: bool = False
) -> dict[str, float]:
    """Write a model to one file, which gets its name when it has been verified.

    Args:
        model: of `zoo.load`, on the CPU and in evaluation mode.
        kind: of `FORMATS`.
        scores: whether the file has score maps at the input's size as a third output.

    Returns:
        the largest difference from the model itself, for each output.

    Raises:
        ValueError: the model can not be exported, or the file does not give the same.
        ImportError: a package for ONNX is missing.
    """
    if kind not in FORMATS:
        raise ValueError(f"the format is {kind!r}; wanted one of {', '.join(FORMATS)}")
    check_packages(kind)
    device = next(model.parameters()).device
    if model.training or device.type != "cpu":
        mode = "training" if model.training else "evaluation"
        raise ValueError(f"the model is in {mode} mode on {device}; wanted evaluation on the cpu")
    meta = describe(model)
    if scores and meta["semantic"]["type"] != "SemanticFusion":
        raise ValueError(f"scores are those of SemanticFusion, not {meta['semantic']['type']}")
    module = ExportedMaskFormer(model, scores=scores).eval()
    write, run = FORMATS[kind]
    with replacing(out) as work:
        write(trace(module), module.outputs, json.dumps(meta), work)
        return verify(run(work), module, meta["divisor"])


def check_packages(kind: str) -> None:
    """Raise ImportError where a package that a format needs is missing, or torch is too old."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < TORCH:
        raise ImportError(
            f"exports need torch {TORCH[0]}.{TORCH[1]} or later, with which they were tried; found "
            f"{torch.__version__}"
        )
    needed = ("onnx", "onnxscript", "onnxruntime") if kind == "onnx" else ()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"--format onnx needs {' and '.join(missing)}; pip install 'mmmaskformer[export]'"
        )


@torch.no_grad()
def trace(module: ExportedMaskFormer) -> ExportedProgram:
    """The graph of a module, with batch, height and width as symbols."""
    batch, *size = TRACED
    sizes = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    try:
        with symbolic_sizes():
            example = (torch.zeros(batch, 3, *size),)
            return torch.export.export(module, example, dynamic_shapes=sizes, strict=False)
    except torch._dynamo.exc.UserError as error:
        backbone = type(module.model.backbone).__name__
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise ValueError(
            f"the backbone {backbone} can not be exported for inputs of any size ({reason})"
        ) from error


def verify(run: formats.Run, module: ExportedMaskFormer, divisor: int) -> dict[str, float]:
    """The largest difference between a written file's outputs and the model's, by name.

    Raises:
        ValueError: it is above `TOLERANCE`, or shapes differ; names the input and the output.
    """
    worst = dict.fromkeys(module.outputs, 0.0)
    generator = torch.Generator().manual_seed(0)
    for height, width in SIZES:
        size = [-(-length // divisor) * divisor for length in (height, width)]
        for batch in BATCHES:
            images = torch.randint(256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
            wanted = eager_outputs(module.model, list(images), module.scores)
            found = run(images.float().numpy())
            for name, right, got in zip(module.outputs, wanted, found, strict=True):
                what = f"{name} of {batch} images of {size[0]}x{size[1]} pixels"
                worst[name] = max(worst[name], difference(right, got, what))
    return worst


def difference(wanted: Tensor, found: np.ndarray, what: str) -> float:
    """The largest difference, as a share of the largest value where that is above 1."""
    right = wanted.numpy()
    if right.shape != found.shape:
        raise ValueError(f"{what}: the exported file gives {found.shape}, the model {right.shape}")
    distance = float(np.abs(right - found).max() / max(1.0, np.abs(right).max()))
    if not distance <= TOLERANCE:  # nor is NaN
        raise ValueError(
            f"{what}: the exported file differs from the model by {distance:.1e}; wanted at most "
            f"{TOLERANCE:g}"
        )
    return distance
