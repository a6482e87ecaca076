"""The file formats: how a traced model is written, and how a written one is run."""

from __future__ import annotations

import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from ..deploy.metadata import KEY
from ..deploy.runner import open_session

Run = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Images (B, 3, H, W) to the outputs."""
LARGEST_ONNX = (1 << 31) - (1 << 24)
"""Bytes of weights that an ONNX file can hold, with room for the graph; the limit is protobuf's."""
AXES = ("batch", None, "height", "width")


def write_onnx(program: ExportedProgram, outputs: Sequence[str], meta: str, path: Path) -> None:
    """Write one ONNX file with the weights in it."""
    size = sum(value.nbytes for value in program.state_dict.values())
    if size > LARGEST_ONNX:
        raise ValueError(
            f"the weights have {size / 1e9:.1f} GB, and an ONNX file holds 2 GB; wanted a smaller "
            "model, or --format pt2"
        )
    with quiet():
        model = torch.onnx.export(
            program, dynamo=True, input_names=["image"], output_names=list(outputs), verbose=False
        )
    shape = model.model.graph.inputs[0].shape
    model.rename_axes({shape[i]: name for i, name in enumerate(AXES) if name})
    model.model.metadata_props[KEY] = meta
    model.save(path, external_data=False)


def run_onnx(path: Path) -> Run:
    session = open_session(path)
    return lambda images: session.run(None, {"image": images})


def write_pt2(program: ExportedProgram, outputs: Sequence[str], meta: str, path: Path) -> None:
    """Write a program of torch.export."""
    with open(path, "wb") as file:
        torch.export.save(program, file, extra_files={KEY: meta})


def run_pt2(path: Path) -> Run:
    with open(path, "rb") as file:
        module = torch.export.load(io.BytesIO(file.read())).module()
    return lambda images: [out.detach().numpy() for out in module(torch.from_numpy(images))]


def write_aot(program: ExportedProgram, outputs: Sequence[str], meta: str, path: Path) -> None:
    """Write a package of AOTInductor, compiled for this machine."""
    check_compiler()
    with tempfile.TemporaryDirectory() as folder:
        package = os.path.join(folder, "model.pt2")
        options = {"aot_inductor.metadata": {KEY: meta}}
        torch._inductor.aoti_compile_and_package(
            program, package_path=package, inductor_configs=options
        )
        shutil.copyfile(package, path)


def run_aot(path: Path) -> Run:
    with tempfile.TemporaryDirectory() as folder:  # which asks for the file's suffix
        package = shutil.copyfile(path, os.path.join(folder, "model.pt2"))
        module = torch._inductor.aoti_load_package(package)
    return lambda images: [out.numpy() for out in module(torch.from_numpy(images))]


def check_compiler() -> None:
    """Raise ValueError where there is no C++ compiler."""
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        raise ValueError(
            "--format aot needs a C++ compiler, and none was found; install g++ or clang, or set "
            "CXX to one"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without the notes of torch's ONNX exporter on what it could not simplify."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
