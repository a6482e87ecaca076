"""Train a model: python tools/train.py CONFIG [--amp] [--resume] [--cfg-options k=v ...]"""

import argparse
from pathlib import Path

from mmmaskformer.engine.config_check import config_errors
from mmmaskformer.engine.cpu import leave_cpu_distributed
from mmmaskformer.engine.resuming import use_our_parts
from mmmaskformer.engine.runner import (
    add_common_arguments,
    build_runner,
    check_datasets,
    load_config,
)
from mmmaskformer.utils.command import Parser, run


def parse_args() -> argparse.Namespace:
    parser = Parser(description="Train a segmentor")
    parser.add_argument("config", help="config file")
    parser.add_argument("--amp", action="store_true", help="mixed precision; on a CPU, bfloat16")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="resume from this checkpoint, or without a value from the newest whole one in the "
        "work-dir; an empty work-dir starts at the beginning",
    )
    parser.add_argument(
        "--no-check", action="store_true", help="do not look for mistakes in the datasets first"
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.resume:
        cfg.resume = True
        if args.resume == "auto":
            cfg.load_from_without_checkpoint = cfg.get("load_from")
        cfg.load_from = None if args.resume == "auto" else args.resume
        if cfg.load_from and "://" not in cfg.load_from and not Path(cfg.load_from).is_file():
            raise FileNotFoundError(f"--resume {cfg.load_from} is no file; wanted a checkpoint")
    if not args.no_check:
        check_datasets(cfg, ["train", "val"])
    use_our_parts(cfg)
    runner = build_runner(cfg)
    with config_errors(cfg):
        runner.train()
    leave_cpu_distributed()


if __name__ == "__main__":
    run(main)
