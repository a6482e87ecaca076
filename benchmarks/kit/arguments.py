"""Arguments that the measuring tools share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mmmaskformer.engine.runner import Options


def positive(text: str) -> int:
    """A whole number above 0, as `type` of an argument."""
    return at_least(1, text)


def at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"must be {least} or more, got {text}")
    return number


def make_folder(out: str | None) -> None:
    """Make the folder of --out, if there is one, before anything is measured in vain; OSError."""
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)


def add_step_arguments(parser: argparse.ArgumentParser) -> None:
    """The configs, what a training step of them sees, and --cfg-options."""
    parser.add_argument(
        "configs", nargs="+", help="config files, or mmseg::FOLDER/NAME.py, mmdet::..."
    )
    size = dict(type=positive, nargs=2, default=(512, 512), metavar=("H", "W"))
    parser.add_argument("--size", **size)
    parser.add_argument("--batch", type=positive, default=2, help="images of a training step")
    parser.add_argument("--segments", type=positive, default=10, help="classes in each label map")
    options = dict(nargs="+", action=Options, default={})
    parser.add_argument("--cfg-options", help="for all", **options)


def add_measuring_arguments(parser: argparse.ArgumentParser, *, amp: bool = True) -> None:
    """--repeats, --warmup, --device, and --amp where a tool can do it."""
    parser.add_argument("--repeats", type=positive, default=5, help="timed rounds")
    parser.add_argument(
        "--warmup",
        type=lambda text: at_least(0, text),
        default=1,
        help="rounds before, without a clock",
    )
    add_device_arguments(parser, amp=amp)


def add_device_arguments(parser: argparse.ArgumentParser, *, amp: bool = True) -> None:
    """--device, and --amp where a tool can do it."""
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=gpu)
    if amp:
        parser.add_argument(
            "--amp", choices=("fp16", "bf16"), help="mixed precision; default: fp32"
        )


def check_device(device: str, amp: str | None = None) -> None:
    """Raise ValueError for a device that is not there, or does not compute with `amp`."""
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: there is no GPU here")
    if amp == "fp16" and device == "cpu":
        raise ValueError("--amp fp16 needs a GPU; a CPU computes with --amp bf16")
