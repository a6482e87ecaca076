"""Train a model: python tools/train.py CONFIG [--amp] [--resume] [--cfg-options k=v ...]"""

import argparse

import torch

from mmmaskformer.engine.cpu import leave_cpu_distributed
from mmmaskformer.engine.runner import add_common_arguments, build_runner, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a segmentor")
    parser.add_argument("config", help="config file")
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="resume from this checkpoint, or without a value from the latest in the work-dir",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.amp:
        if not torch.cuda.is_available():
            raise ValueError("--amp needs a GPU: mmengine's AmpOptimWrapper does not work on CPU")
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    build_runner(cfg).train()
    leave_cpu_distributed()


if __name__ == "__main__":
    main()
