"""Cost and accuracy of configs side by side, ours or the zoo's, measured in one run.

    python tools/benchmark.py configs/maskformer_r50_ade20k.py \
        mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py --out benchmark

All configs are of mmseg, or all are panoptic models of mmdet, for which half of the segments are
things. Random weights and generated images; the configs take turns, so that drift hits all. Peak
memory is that of a fresh process per config: model, optimizer and work, over what the imports take.
FLOPs are multiply-adds of convolutions and matrix products in the inference of one image.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

import torch
from rich.console import Console

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit import models, ratios, report, suite
from benchmarks.kit.arguments import (
    add_measuring_arguments,
    add_step_arguments,
    check_device,
    make_folder,
)
from benchmarks.kit.measure import machine
from mmmaskformer.engine.outputs import check_outputs
from mmmaskformer.utils import command


def parse_args() -> argparse.Namespace:
    parser = command.Parser(description=__doc__.split("\n")[0])
    add_step_arguments(parser)
    parser.add_argument("--metrics", nargs="+", default=suite.PARTS, help=", ".join(suite.PARTS))
    parser.add_argument("--num-classes", type=int, help="of every model; default: the config's")
    add_measuring_arguments(parser)
    parser.add_argument("--eval", action="store_true", help="also test --checkpoints on the data")
    parser.add_argument("--checkpoints", nargs="+", default=(), help="one per config, in order")
    parser.add_argument("--out", help="folder for benchmark.md, .csv, .json and .png")
    parser.add_argument("--against", help="benchmark.json whose ratios must not get worse")
    parser.add_argument("--tolerance", type=float, default=0.15, help="of --against")
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that do not go together."""
    unknown = [name for name in args.metrics if name not in suite.PARTS]
    if unknown:
        raise ValueError(f"--metrics must be of {', '.join(suite.PARTS)}, got {unknown[0]!r}")
    names = models.short_names(args.configs)
    if args.against and len(names) == 1:
        raise ValueError("--against compares ratios to the first config: give two configs or more")
    if args.eval != bool(args.checkpoints):
        raise ValueError("--eval and --checkpoints go together")
    check_device(args.device, args.amp)


def settings_of(args: argparse.Namespace) -> suite.Settings:
    configs = [
        models.load_config(config, args.cfg_options, args.num_classes, models.FRAMEWORKS)
        for config in args.configs
    ]
    for config in configs:
        check_outputs({"--out": args.out}, config)
    label_classes = models.common_classes(configs)
    if args.eval and models.framework_of(configs[0]) != "mmseg":
        raise ValueError("--eval is for configs of mmseg: test those of mmdet with tools/test.py")
    return suite.Settings(
        size=tuple(args.size),
        batch=args.batch,
        segments=args.segments,
        label_classes=label_classes,
        repeats=args.repeats,
        warmup=args.warmup,
        device=args.device,
        amp=args.amp,
        options=dict(args.cfg_options),
        num_classes=args.num_classes,
    )


def title_of(settings: suite.Settings) -> str:
    height, width = settings.size
    classes = f", {settings.num_classes} classes" if settings.num_classes else ""
    return (
        f"Images of {height}x{width}, training with {settings.batch}, {settings.segments} segments "
        f"each{classes}, inference and FLOPs of one; {settings.amp or 'fp32'}; medians of "
        f"{settings.repeats} round{'s' if settings.repeats > 1 else ''}; "
        f"{machine(settings.device)}; torch {torch.__version__}"
    )


def prepare(args: argparse.Namespace, settings: suite.Settings) -> tuple[dict, dict | None]:
    """The run as far as it is known before measuring, and the earlier one of `--against`.

    Raises:
        OSError, ValueError: for which measuring would be in vain.
    """
    names = [models.short_name(config) for config in args.configs]
    run = {
        "title": title_of(settings),
        "machine": {"processor": machine(settings.device), "torch": torch.__version__},
        "settings": {**asdict(settings), "size": list(settings.size)},
        "reference": names[0],
    }
    old = ratios.read_run(args.against) if args.against else None
    if old:
        ratios.check_comparable(run, names, old, args.against)
    make_folder(args.out)
    return run, old


def guard(run: dict, old: dict, args: argparse.Namespace, console: Console) -> bool:
    """Print the ratios of both runs; whether none got worse by more than the tolerance."""
    found = ratios.changes(run, old, args.against)
    rows = [
        [c.config, report.METRICS[c.metric].label, f"{c.old:.3f}", f"{c.new:.3f}"]
        + [f"{100 * c.worsening:+.1f} %" + (" WORSE" if c.worsening > args.tolerance else "")]
        for c in found
    ]
    header = ("config", "metric", "old ratio", "new ratio", "worse by")
    console.print(report.rich_table(f"Ratios to {run['reference']}", header, rows))
    return all(c.worsening <= args.tolerance for c in found)


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    check(args)
    settings = settings_of(args)
    run, old = prepare(args, settings)
    accuracy = suite.evaluate_all(args.configs, args.checkpoints, settings) if args.eval else {}
    results = suite.measure(args.configs, settings, args.metrics)
    results = {name: {**accuracy.get(name, {}), **values} for name, values in results.items()}
    run |= {"results": results, "ratios": ratios.ratios(results)}
    console.print(report.rich_table(run["title"], *report.cells(results)))
    if args.out:
        for path in report.write_report(args.out, run):
            console.print(str(path), highlight=False, soft_wrap=True)
    if old and not guard(run, old, args, console):
        sys.exit(1)


if __name__ == "__main__":
    command.run(main)
