"""Panoptic quality of predictions in COCO's format (a json and a folder of pngs).

    python tools/evaluate_pq.py --gt_json_file gt.json --pred_json_file pred.json --out pq.json

Options as in COCO's own evaluation. Folders default to the path of the json without `.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mmmaskformer import evaluation
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import check_output, replacing


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--gt_json_file", type=Path, required=True, help="ground truth")
    parser.add_argument("--pred_json_file", type=Path, required=True, help="prediction")
    parser.add_argument("--gt_folder", type=Path, help="folder of the ground truth's pngs")
    parser.add_argument("--pred_folder", type=Path, help="folder of the prediction's pngs")
    parser.add_argument("--out", type=Path, help="write all numbers to this json file")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f"--workers must be at least 1, got {args.workers}")
    return args


def check_target(args: argparse.Namespace, pairs: list) -> None:
    """Raise ValueError unless --out names a file that may be written."""
    out = args.out.resolve()
    if not out.parent.is_dir() or (out.exists() and not out.is_file()):
        raise ValueError(f"--out {args.out} must be a file in a folder that exists")
    folders = {png.parent for pair in pairs for png in (pair.gt_png, pair.pred_png)}
    check_output("--out", args.out, folders, (args.gt_json_file, args.pred_json_file))


def evaluate(args: argparse.Namespace) -> None:
    told: list[str] = []
    categories, pairs = evaluation.read_pairs(
        args.gt_json_file, args.pred_json_file, args.gt_folder, args.pred_folder, warn=told.append
    )
    if args.out:
        check_target(args, pairs)
    console = Console(stderr=True)
    progress = partial(
        track,
        description="panoptic quality",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    quality = evaluation.count_in_processes(categories, pairs, args.workers, progress)
    result = quality.compute()
    if args.out:
        with replacing(args.out) as work:
            work.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(evaluation.summary_table(result))
    if quality.oddities:
        told.append(evaluation.odd_warning(quality.oddities))
    for line in told:
        print(f"warning: {line}", file=sys.stderr)


def main() -> None:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    evaluate(args)


if __name__ == "__main__":
    run(main)
