"""Our mask losses, at every pixel, beside those of mmdet's Mask2Former, at points that it samples.

    python -m benchmarks.losses --out losses

Both begin with the mask logits of the same matched masks at stride 4, of all decoder layers, and
end with the gradient by these logits; they take turns. The sampled ones are computed by mmdet's own
head with its own settings, 12,544 points of each mask, of which 9,408 are the least certain of
37,632 others; matching, classes and the preparation of the masks are left out. Ours take focal loss
and dice, mmdet's cross entropy and dice: no two values are compared. Memory is the growth of the
peak by one call, in a fresh process. "ratio" is to the sampled losses: what is at most 1 is exact
at no more than the price of a sample.
"""

from __future__ import annotations

import argparse
import itertools

import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmdet is imported)
from benchmarks.kit import report, sampled
from benchmarks.kit.arguments import add_measuring_arguments, check_device, make_folder, positive
from benchmarks.kit.measure import machine
from mmmaskformer.utils import command

HEADER = ["size", "segments", "losses", "ms", "ratio", "MB", "ratio"]


def parse_args() -> argparse.Namespace:
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--sizes", type=positive, nargs="+", default=[512, 1024], help="sides of square images"
    )
    parser.add_argument("--segments", type=positive, nargs="+", default=[10, 40, 100])
    parser.add_argument("--batch", type=positive, default=2, help="images")
    parser.add_argument("--layers", type=positive, default=6, help="decoder layers with a loss")
    add_measuring_arguments(parser, amp=False)
    parser.add_argument("--out", help="folder for losses.md and .json")
    return parser.parse_args()


def problems(args: argparse.Namespace) -> list[sampled.Problem]:
    """One for every size and number of segments; ValueError for sizes that are not whole grids."""
    for side in args.sizes:
        if side % 4:
            raise ValueError(f"--sizes must be multiples of 4, got {side}")
    return [
        sampled.Problem((side, side), segments, args.batch, args.layers, max(100, segments))
        for side, segments in itertools.product(args.sizes, args.segments)
    ]


def rows_of(problem: sampled.Problem, found: dict[str, dict]) -> list[list[str]]:
    """A row for every way; ratios are to the first."""
    first = next(iter(found.values()))
    return [
        [
            "x".join(map(str, problem.size)),
            str(problem.segments),
            name,
            f"{1e3 * values['seconds']:.1f}",
            f"{values['seconds'] / first['seconds']:.2f}",
            f"{values['memory_mb']:.0f}",
            f"{values['memory_mb'] / first['memory_mb']:.2f}" if first["memory_mb"] else "-",
        ]
        for name, values in found.items()
    ]


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    check_device(args.device)
    todo = problems(args)
    make_folder(args.out)
    results, rows = [], []
    for problem in todo:
        found = sampled.compare(problem, args.repeats, args.warmup, args.device)
        results.append({"size": problem.size, "segments": problem.segments, "losses": found})
        rows += rows_of(problem, found)
    title = (
        f"Mask losses of {args.batch} images, {args.layers} layers, forward and backward; fp32; "
        f"{machine(args.device)}; torch {torch.__version__}"
    )
    console.print(report.rich_table(title, HEADER, rows))
    if args.out:
        settings = {"batch": args.batch, "layers": args.layers, "repeats": args.repeats}
        run = {"title": title, "settings": settings, "results": results}
        for path in report.write_tables(args.out, "losses", run, [(title, HEADER, rows)]):
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
