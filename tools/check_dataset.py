"""Read every image and annotation of a config, count the classes, and say what would stop training.

    python tools/check_dataset.py configs/maskformer_r50_ade20k.py --workers 8 --out counts

Semantic datasets of mmseg and panoptic ones of this package. Exit code 1 where training would fail
or the config disagrees with itself or with the files. `--out` gets classes.csv and classes.png.
"""

import argparse
import os
import sys
from pathlib import Path

from mmmaskformer.dataset_check.command import check_dataset
from mmmaskformer.dataset_check.splits import SPLITS
from mmmaskformer.engine.outputs import check_outputs
from mmmaskformer.engine.runner import add_common_arguments, load_config
from mmmaskformer.utils.command import Parser, run


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--split", nargs="+", choices=SPLITS, help="default: train, val, and test if it is another"
    )
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, help="folder for classes.csv and classes.png")
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f"--workers must be at least 1, got {args.workers}")
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    check_outputs({"--out": args.out}, cfg, args.config)
    errors = check_dataset(cfg, args.split, args.workers, args.out)
    if errors:
        sys.exit(f"error: {args.config}: {errors} problems would stop or spoil training")
    print("no problems found")


if __name__ == "__main__":
    run(main)
