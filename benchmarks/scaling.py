"""How a training step's time and memory grow: image size, segments, classes, queries, batch.

    python -m benchmarks.scaling --stock --out scaling
    python -m benchmarks.scaling --factors --processes 1 2

One factor at a time is varied around the point --at; the rest stays. Random weights, generated
images. Peak memory is that of a fresh process: model, optimizer and two steps, over what the
imports take; values from the first that does not fit in memory are left out. Growth over the
size is a power of the number of pixels, over other factors a line, as a share of its value at
the point. --processes: the same batch by processes of one thread each on the CPU.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit import models, processes, report, scaling, suite
from benchmarks.kit.arguments import (
    add_measuring_arguments,
    check_device,
    make_folder,
    positive,
)
from benchmarks.kit.growth_plot import draw
from benchmarks.kit.measure import machine
from mmmaskformer.engine.runner import Options
from mmmaskformer.utils import command

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
OURS = str(CONFIGS / "maskformer_r50_ade20k.py")
STOCK = str(CONFIGS / "mmseg-maskformer_r50_ade20k.py")
POINT = {"size": 512, "batch": 2, "segments": 10, "classes": 150, "queries": 100}
LISTS = {
    "size": "--sizes",
    "segments": "--segments",
    "classes": "--classes",
    "queries": "--queries",
    "batch": "--batches",
}


def parse_args() -> argparse.Namespace:
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", default=OURS, help="default: %(default)s")
    parser.add_argument("--stock", nargs="?", const=STOCK, help="also this config: mmseg's own")
    parser.add_argument(
        "--factors", nargs="*", default=list(LISTS)[:4], help=f"of {', '.join(LISTS)}"
    )
    for factor, flag in LISTS.items():
        values = scaling.FACTORS[factor].values
        parser.add_argument(flag, dest=factor, type=positive, nargs="+", default=values)
    shown = " ".join(f"{factor}={value}" for factor, value in POINT.items())
    point = dict(nargs="+", action=Options, default={})
    parser.add_argument("--at", help=f"default: {shown}", **point)
    parser.add_argument("--processes", type=positive, nargs="+", default=[], help="numbers of them")
    add_measuring_arguments(parser)
    parser.add_argument("--out", help="folder for scaling.md, .json and .png")
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that do not go together."""
    unknown = set(args.at) - set(POINT)
    if unknown:
        raise ValueError(f"--at takes {', '.join(POINT)}, got {sorted(unknown)[0]!r}")
    for name, value in args.at.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"--at {name} must be a positive number, got {value!r}")
    if not args.factors and not args.processes:
        raise ValueError("nothing to measure: --factors and --processes are empty")
    if args.stock and models.short_name(args.stock) == models.short_name(args.config):
        raise ValueError(f"--stock must have another name than {models.short_name(args.config)}")
    for device in (args.device, *(["cpu"] if args.processes else [])):
        check_device(device, args.amp)


def settings_of(args: argparse.Namespace, point: dict) -> suite.Settings:
    return suite.Settings(
        size=(point["size"], point["size"]),
        batch=point["batch"],
        segments=point["segments"],
        label_classes=point["classes"],
        num_classes=point["classes"],
        repeats=args.repeats,
        warmup=args.warmup,
        device=args.device,
        amp=args.amp,
        options={scaling.QUERIES: point["queries"]},
    )


def title_of(settings: suite.Settings, point: dict) -> str:
    around = ", ".join(f"{name} {value}" for name, value in point.items())
    return (
        f"A training step around {around}; {settings.amp or 'fp32'}; "
        f"{machine(settings.device)}; torch {torch.__version__}"
    )


def measure(args: argparse.Namespace) -> tuple[dict, list[tuple]]:
    """What the json holds, and tables of (title, header, rows)."""
    point = {**POINT, **args.at}
    settings = settings_of(args, point)
    configs = [args.config, args.stock] if args.stock else [args.config]
    chosen = {factor: vars(args).get(factor, ()) for factor in args.factors}
    scaling.grid(settings, chosen)
    for config in configs:
        models.load_config(config)
    for size in args.processes:
        processes.check_share(settings.batch, size)
    make_folder(args.out)
    run = {"title": title_of(settings, point), "settings": asdict(settings), "at": point}
    tables = []
    if chosen:
        rows = scaling.measure(configs, settings, chosen)
        run |= {"results": rows, "growth": scaling.growths(rows, settings)}
        tables.append((run["title"], *scaling.measured_table(rows)))
        tables.append(("Growth", *scaling.growth_table(run["growth"])))
    for config in configs if args.processes else ():
        name = models.short_name(config)
        found = processes.measure(config, settings, sorted(set(args.processes)))
        run.setdefault("processes", {})[name] = found
        title = f"{name}: one thread each, together {settings.batch} images a step"
        tables.append((title, *processes.table(found)))
    return run, tables


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    check(args)
    run, tables = measure(args)
    for table in tables:
        console.print(report.rich_table(*table))
    if args.out:
        paths = report.write_tables(args.out, "scaling", run, tables)
        if "results" in run:
            picture = run["results"], run["growth"], run["title"]
            writers = {"png": lambda path: draw(*picture, path)}
            paths += report.write_files(args.out, "scaling", writers)
        for path in paths:
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
