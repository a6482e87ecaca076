"""Convert weights of other implementations: python tools/convert_weights.py SRC DST

Recognised are MaskFormer checkpoints of the original implementation (Detectron2), transformers,
mmseg and mmdet, and ResNet and Swin classifiers of Detectron2, torchvision and Swin's authors;
architecture and number of classes are read from the weights. Names and colours of the classes are
those of --dataset, else those that SRC has. Files of the original implementation that hold weights
alone, as its released ones do, get those of the dataset that the paper has with so many classes.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmmaskformer.checkpoints.conversion import (
    Report,
    check_fits,
    convert_checked,
    read_weights,
    write_checkpoint,
)
from mmmaskformer.checkpoints.naming import CheckpointError
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import check_output
from mmmaskformer.utils.text import listing

DATASETS = (
    "ade20k",
    "ade20k_full",
    "camvid",
    "cityscapes",
    "coco_panoptic",
    "coco_stuff_10k",
    "mapillary",
    "shapes",
)
RELEASED = {
    19: "cityscapes",
    65: "mapillary",
    133: "coco_panoptic",
    150: "ade20k",
    171: "coco_stuff_10k",
    847: "ade20k_full",
}
"""Datasets of the original's released models, by their number of classes."""
OF_TRAINING = ("optimizer", "scheduler", "iteration")
"""What Detectron2 writes beside the weights while somebody trains; released files lack it."""


def parse_args() -> argparse.Namespace:
    parser = Parser(description="Convert weights of other implementations")
    parser.add_argument("src", help=".pkl, .pth, .bin or .safetensors file")
    parser.add_argument("dst", help="checkpoint to write")
    parser.add_argument("--num-classes", type=int, help="fail if the file is for another number")
    parser.add_argument("--dataset", choices=DATASETS, help="whose class names DST gets")
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
        check_fits(report, Config.fromfile(args.config).model, args.src, args.config)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"--config {args.config} is no config with a model ({type(error).__name__}: {error})"
        ) from error


def find_names(
    report: Report, args: argparse.Namespace, beside: Mapping[str, Any]
) -> tuple[dict, str]:
    """Classes, palette and things for the file's `dataset_meta`, and where they are from.

    Args:
        beside: what SRC holds beside the weights; mmengine's files name the classes in `meta`.
    """
    count = report.num_classes
    if args.dataset is not None:
        names = metainfo(args.dataset)
        if count != len(names["classes"]):
            raise CheckpointError(
                f"--dataset {args.dataset} has {len(names['classes'])} classes, {args.src} "
                f"{count} ({report.description})"
            )
        return names, f"{args.dataset}, as --dataset says"
    names = own_names(beside.get("meta"), count)
    if names:
        return names, "those that SRC has"
    if not report.conversion.source.was_released:
        return {}, "not known: SRC has none, and is no file of the original; give --dataset"
    trained = [key for key in OF_TRAINING if key in beside]
    if trained:
        return (
            {},
            f"not known: SRC has {listing(trained)}, so it is no released file; give --dataset",
        )
    if count not in RELEASED:
        return {}, f"not known: no released model has {count} classes; give --dataset"
    name = RELEASED[count]
    why = f"SRC is weights alone of the original, whose released models of {count} classes are its"
    return metainfo(name), f"{name}, as {why}; if yours are others, give --dataset"


def own_names(meta: Any, count: int | None) -> dict[str, list]:
    """What mmengine's files, and those before it, say of the classes, where it has their number."""
    meta = {str(k): v for k, v in meta.items()} if isinstance(meta, Mapping) else {}
    stated = meta.get(
        "dataset_meta", {key.lower(): meta.get(key) for key in ("CLASSES", "PALETTE")}
    )
    names = {}
    for key in ("classes", "palette", "isthing", "category_ids"):
        values = stated.get(key) if isinstance(stated, Mapping) else None
        if isinstance(values, (list, tuple)) and len(values) == count:
            names[key] = list(values)
    plain = all(isinstance(name, str) for name in names.get("classes", [None]))
    return names if plain else {}


def convert_file(args: argparse.Namespace) -> tuple[Report, list[str]]:
    """Read, convert, check, write; what the names are, and what else the source holds."""
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
    notes = []
    if report.num_classes is not None:
        # Empty where unknown: without the entry mmseg's functions would guess a dataset.
        meta["dataset_meta"], where = find_names(report, args, beside)
        notes = [f"class names: {where}"]
    elif args.dataset is not None:
        raise CheckpointError(f"--dataset {args.dataset}, but {args.src} has no classes")
    if beside:
        notes.append(f"not used: {listing(beside, 20)} beside the weights")
    write_checkpoint(report.conversion.state_dict, target, meta)
    return report, notes


def main() -> None:
    args = parse_args()
    try:
        report, notes = convert_file(args)
    except (CheckpointError, OSError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        known = args.src in text or (args.dst and args.dst in text)
        raise CheckpointError(text if known else f"{args.src}: {text}") from error
    conversion = report.conversion
    print(f"{args.src}: {conversion.source.name}; {report.description}")
    for title, names in (("not used", conversion.unused), ("not filled", report.unfilled)):
        for name, reason in names.items():
            print(f"  {title}: {name} {reason}")
    for note in notes:
        print(f"  {note}")
    if report.num_classes is not None:
        print("  attention heads can not be seen in weights; 8, as in the paper, are assumed")
    print(f"wrote {len(conversion.state_dict)} weights to {args.dst}")
    if conversion.source.licence:
        print(conversion.source.licence)


if __name__ == "__main__":
    run(main)
