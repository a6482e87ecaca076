"""What a training step saves for backward, module by module.

    python -m benchmarks.memory configs/maskformer_r50_ade20k.py --out memory
    python -m benchmarks.memory configs/maskformer_swin-t_ade20k.py --depth 4

Random weights, generated images and label maps. A storage counts once, for the module that runs
when it is first saved; parameters do not count. What a checkpointed part computes again does not
count either, only its inputs do. Nothing is kept here, so even Swin-L needs little memory.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial

import torch
from rich.progress import track

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit import ledger, models, report, suite
from benchmarks.kit.arguments import (
    add_device_arguments,
    add_step_arguments,
    check_device,
    make_folder,
    positive,
)
from mmmaskformer.utils import command


def parse_args() -> argparse.Namespace:
    parser = command.Parser(description=__doc__.split("\n")[0])
    add_step_arguments(parser)
    parser.add_argument("--depth", type=positive, default=2, help="parts of a name in the table")
    add_device_arguments(parser)
    parser.add_argument("--out", help="folder for memory.md and .json")
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> suite.Settings:
    configs = [
        models.load_config(config, args.cfg_options, None, models.FRAMEWORKS)
        for config in args.configs
    ]
    return suite.Settings(
        size=tuple(args.size),
        batch=args.batch,
        segments=args.segments,
        label_classes=models.common_classes(configs),
        repeats=1,
        warmup=0,
        device=args.device,
        amp=args.amp,
        options=dict(args.cfg_options),
    )


def title_of(settings: suite.Settings) -> str:
    height, width = settings.size
    return (
        f"MiB saved for backward by a training step of {settings.batch} images of "
        f"{height}x{width}, {settings.segments} segments each; {settings.amp or 'fp32'}; "
        f"{settings.device}; torch {torch.__version__}"
    )


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    check_device(args.device, args.amp)
    names = models.short_names(args.configs)
    settings = settings_of(args)
    make_folder(args.out)
    ledgers = {
        name: ledger.ledger_of(config, settings)
        for name, config in zip(names, track(args.configs, "steps", transient=True), strict=True)
    }
    title = title_of(settings)
    run = {
        "title": title,
        "settings": {**asdict(settings), "size": list(settings.size)},
        "results": {name: [asdict(saved) for saved in found] for name, found in ledgers.items()},
    }
    places = partial(ledger.by_place, depth=args.depth)
    tables = [
        (title, *ledger.cells(ledgers, places, "module")),
        ("The same by class of module", *ledger.cells(ledgers, ledger.by_kind, "class")),
    ]
    for table in tables:
        console.print(report.rich_table(*table))
    if args.out:
        for path in report.write_tables(args.out, "memory", run, tables):
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
