"""Convert weights of other implementations: python tools/convert_weights.py SRC DST

Recognised are MaskFormer checkpoints of the original implementation (Detectron2), transformers,
mmseg and mmdet, and ResNet and Swin classifiers of Detectron2, torchvision and Swin's authors;
architecture and number of classes are read from the weights.
"""

import argparse
import sys

from mmengine.config import Config

from mmmaskformer.convert import (
    Report,
    convert_checked,
    model_shapes,
    read_weights,
    write_checkpoint,
)
from mmmaskformer.core.architecture import compare, describe, some
from mmmaskformer.core.checkpoint import CheckpointError


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
    expected = model_shapes(Config.fromfile(args.config).model)
    shapes = {name: tuple(t.shape) for name, t in report.conversion.state_dict.items()}
    problems = compare(shapes, expected)
    if problems:
        raise CheckpointError(
            f"{args.src} is {report.description}; {args.config} builds {describe(expected)}: "
            f"{some(problems)}"
        )


def main() -> None:
    args = parse_args()
    try:
        report = convert_checked(read_weights(args.src))
        check(report, args)
        conversion = report.conversion
        meta = dict(source=conversion.source.name, description=report.description)
        write_checkpoint(conversion.state_dict, args.dst, meta)
    except (CheckpointError, OSError) as error:
        text = str(error)
        known = args.src in text or args.dst in text
        sys.exit(f"error: {text if known else f'{args.src}: {text}'}")
    print(f"{args.src}: {conversion.source.name}; {report.description}")
    for title, names in (("not used", conversion.unused), ("not filled", report.unfilled)):
        for name, reason in names.items():
            print(f"  {title}: {name} {reason}")
    print(f"wrote {len(conversion.state_dict)} weights to {args.dst}")
    if conversion.source.licence:
        print(conversion.source.licence)


if __name__ == "__main__":
    main()
