"""Inference part by part: whole models, label maps of large images, views, panoptic segments.

    python -m benchmarks.inference --out inference

Random weights and generated images; what is compared takes turns. `latency` is from the
preprocessed image to labels of the original size, and "of the floor" its ratio to the convolutions
and matrix products of the first model alone, called one after the other on the same tensors;
`labels`, `tta`: growth of peak memory in fresh processes, and estimates, computed, of mmseg's way;
`panoptic`: our fusion and a plain loop over the queries, whose results must agree. "ratio" is to
the first line of a table.

Peaks hold what the C library keeps of freed memory, which is chance: six times the same labels in
bands (847 classes, 1000x1500) took 111 to 350 MB, and 111 to 113 with all large blocks given back
at once, by MALLOC_MMAP_THRESHOLD_=1048576 in the environment.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit import fusions, inference, models, report
from benchmarks.kit.arguments import add_measuring_arguments, check_device, make_folder, positive
from benchmarks.kit.measure import machine
from mmmaskformer.utils import command

PARTS = ("latency", "labels", "tta", "panoptic")
NAMES = ("maskformer_r50_ade20k", "mmseg-maskformer_r50_ade20k", "upernet_r50_ade20k")
FOLDER = Path(__file__).resolve().parents[1] / "configs"


def parse_args() -> argparse.Namespace:
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "configs",
        nargs="*",
        default=[str(FOLDER / f"{name}.py") for name in NAMES],
        help=f"ours first; default: {', '.join(NAMES)}",
    )
    parser.add_argument("--parts", nargs="+", default=PARTS, help=", ".join(PARTS))
    for name, size, text in (
        ("input", (512, 683), "network input of latency and tta"),
        ("original", (768, 1024), "labels of latency and tta"),
        ("large", (2000, 3000), "labels of the part labels"),
        ("panoptic", (800, 1333), "panoptic segments"),
    ):
        parser.add_argument(
            f"--{name}", type=positive, nargs=2, default=size, metavar=("H", "W"), help=text
        )
    parser.add_argument("--classes", type=positive, default=847, help="of the part labels")
    add_measuring_arguments(parser, amp=False)
    parser.add_argument("--out", help="folder for inference.md and .json")
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that do not go together."""
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        raise ValueError(f"--parts must be of {', '.join(PARTS)}, got {unknown[0]!r}")
    check_device(args.device)
    models.short_names(args.configs)
    for config in args.configs:
        models.load_config(config)
    if models.load_config(args.configs[0]).model.type != "mmmaskformer.MaskFormer":
        raise ValueError(f"config {args.configs[0]}: the first must be a model of mmmaskformer")


def measure(args: argparse.Namespace, sizes: inference.Sizes) -> dict:
    """{part: {what: {metric: value}}}."""
    turns = inference.Turns(args.repeats, args.warmup, args.device)
    functions = {
        "latency": lambda: inference.latency(args.configs, sizes, turns),
        "labels": lambda: fusions.label_maps(sizes, turns),
        "tta": lambda: inference.augmented(args.configs[0], sizes, args.device),
        "panoptic": lambda: fusions.panoptic(sizes, turns),
    }
    return {part: functions[part]() for part in PARTS if part in args.parts}


def titles(sizes: inference.Sizes) -> dict[str, str]:
    def by(size) -> str:
        return "x".join(map(str, size))

    return {
        "latency": f"From an input of {by(sizes.input)} to labels of {by(sizes.original)}",
        "labels": f"Labels of {by(sizes.large)}, {sizes.classes} classes, without the network",
        "tta": f"Views of {by(sizes.input)}, labels of {by(sizes.original)}",
        "panoptic": f"Panoptic segments of {by(sizes.panoptic)}, {sizes.queries} queries",
    }


def table(title: str, results: dict) -> tuple:
    """Title, header and rows: every metric and its ratio to that of the first line."""
    keys = [key for key in report.METRICS if any(key in values for values in results.values())]
    first = next(iter(results.values()))
    rows = []
    for name, values in results.items():
        row = [name]
        for key in keys:
            known = key in values
            row.append(report.METRICS[key].form.format(values[key]) if known else "-")
            if not report.METRICS[key].is_ratio:
                row.append(f"{values[key] / first[key]:.2f}" if known and first.get(key) else "-")
        rows.append(row if values else [name, "no memory", *row[2:]])
    header = [""]
    for metric in map(report.METRICS.__getitem__, keys):
        header += [metric.label] if metric.is_ratio else [metric.label, "ratio"]
    return title, header, rows


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    check(args)
    make_folder(args.out)
    shapes = (args.input, args.original, args.large, args.panoptic)
    sizes = inference.Sizes(*map(tuple, shapes), classes=args.classes)
    results = measure(args, sizes)
    title = f"{machine(args.device)}; torch {torch.__version__}; fp32"
    tables = [table(titles(sizes)[part], found) for part, found in results.items()]
    console.print(title, highlight=False)
    for one in tables:
        console.print(report.rich_table(*one))
    if args.out:
        run = {"title": title, "settings": asdict(sizes), "results": results}
        shown = [(f"{name} ({title})", header, rows) for name, header, rows in tables]
        for path in report.write_tables(args.out, "inference", run, shown):
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
