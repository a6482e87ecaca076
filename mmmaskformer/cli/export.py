"""Write a model to one file that runs without this package, and verify it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..utils.files import check_output
from .options import add_model, download_options

FORMATS = ("onnx", "pt2", "aot")


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="default: onnx")
    parser.add_argument("--out", required=True, help="the file to write")
    parser.add_argument(
        "--scores", action="store_true", help="also give score maps at the input's size"
    )


def main(args: Namespace) -> None:
    read = [args.checkpoint] if args.checkpoint else []
    check_output("--out", args.out, files=[*read, args.model])
    if Path(args.out).is_dir():
        raise ValueError(f"--out {args.out} is a folder; wanted the name of a file")
    from ..export import export
    from ..zoo import load

    model = load(args.model, args.checkpoint, device="cpu", fold=True, **download_options(args))
    found = export(model, args.out, args.format, scores=args.scores)
    text = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
    size = Path(args.out).stat().st_size / 1e6
    print(f"{args.out}: {size:.0f} MB, verified; largest differences from the model: {text}")
