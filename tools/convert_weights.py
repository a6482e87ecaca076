"""Convert weights of other implementations: python tools/convert_weights.py SRC DST

Recognised are MaskFormer checkpoints of the original implementation (Detectron2), transformers,
mmseg and mmdet, and ResNet and Swin classifiers of Detectron2, torchvision and Swin's authors;
architecture and number of classes are read from the weights.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config

from mmmaskformer.checkpoints.conversion import (
    Report,
    convert_checked,
    model_weights,
    read_weights,
    write_checkpoint,
)
from mmmaskformer.checkpoints.description import compare, describe
from mmmaskformer.checkpoints.naming import CheckpointError
from mmmaskformer.utils.files import check_output
from mmmaskformer.utils.text import listing


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Convert weights of other implementations")
    parser.add_argument("src", help=".pkl, .pth, .bin or .safetensors file")
    parser.add_argument("dst", help="checkpoint to write")
    parser.add_argument("--num-classes", type=int, help="fail if the file is for another number")
    parser.add_argument("--config", help="fail if the weights do not fit the model of this config")
    return parser.parse_args()


def check(report: Report, args: argparse.Namespace) -> None:
    """Compare with what the user expects."""
    if args.num_classes is not None and args.num_classes != report.num_classes:
        raise CheckpointError(
            f"{args.src} has {report.num_classes} classes ({report.description}), --num-classes "
            f"says {args.num_classes}; take the file of your dataset, or fine-tune: load_from "
            "skips layers of another size"
        )
    if args.config is not None:
        check_config(report, args)


def check_config(report: Report, args: argparse.Namespace) -> None:
    try:
        weights = model_weights(Config.fromfile(args.config).model)
    except Exception as error:
        raise CheckpointError(
            f"--config {args.config} is no config with a model ({type(error).__name__}: {error})"
        ) from error
    expected = {name: tuple(t.shape) for name, t in weights.items()}
    shapes = {name: tuple(t.shape) for name, t in report.conversion.state_dict.items()}
    problems = compare(shapes, expected)
    if problems:
        raise CheckpointError(
            f"{args.src} is {report.description}; {args.config} builds {describe(expected)}: "
            f"{listing(problems, 4)}"
        )


def convert_file(args: argparse.Namespace) -> tuple[Report, list[str]]:
    """Read, convert, check, write."""
    source, target = Path(args.src), Path(args.dst)
    if target.is_dir() or not args.dst:
        raise CheckpointError(f"DST {args.dst!r} must be a file's name")
    if target.exists() and source.exists() and target.samefile(source):
        raise CheckpointError(f"{args.dst} is SRC itself, which would be lost")
    if args.config:
        check_output("DST", target, files=[args.config])
    weights, beside = read_weights(source)
    report = convert_checked(weights)
    check(report, args)
    meta = dict(source=report.conversion.source.name, description=report.description)
    write_checkpoint(report.conversion.state_dict, target, meta)
    return report, beside


def main() -> None:
    args = parse_args()
    try:
        report, beside = convert_file(args)
    except (CheckpointError, OSError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        known = args.src in text or (args.dst and args.dst in text)
        sys.exit(f"error: {text if known else f'{args.src}: {text}'}")
    conversion = report.conversion
    print(f"{args.src}: {conversion.source.name}; {report.description}")
    for title, names in (("not used", conversion.unused), ("not filled", report.unfilled)):
        for name, reason in names.items():
            print(f"  {title}: {name} {reason}")
    if beside:
        print(f"  not used: {listing(beside, 20)} beside the weights")
    if report.num_classes is not None:
        print("  attention heads can not be seen in weights; 8, as in the paper, are assumed")
    print(f"wrote {len(conversion.state_dict)} weights to {args.dst}")
    if conversion.source.licence:
        print(conversion.source.licence)


if __name__ == "__main__":
    main()
