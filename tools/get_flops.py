"""Parameters and FLOPs of a config's model: python tools/get_flops.py CONFIG --shape 512 512

Options as in mmseg's script of this name, which today's mmengine refuses. FLOPs are multiply-adds
of convolutions and matrix products in the inference of one image of this height and width.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmmaskformer  # noqa: E402, F401  (mends the stack before mmseg is imported)
from benchmarks.kit import models, suite  # noqa: E402
from mmmaskformer.engine.runner import add_config_options  # noqa: E402
from mmmaskformer.utils.command import Parser, run  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("config", help="config file, or mmseg::FOLDER/NAME.py")
    parser.add_argument(
        "--shape", type=int, nargs="+", default=[2048, 1024], help="height and width, or one side"
    )
    add_config_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if len(args.shape) > 2 or min(args.shape) < 1:
        raise ValueError(f"--shape must be one or two numbers above 0, got {args.shape}")
    size = (args.shape[0], args.shape[-1])
    options = args.cfg_options or {}
    cfg = models.load_config(args.config, options, None, models.FRAMEWORKS)
    settings = suite.Settings(
        size=size,
        batch=1,
        segments=1,
        label_classes=models.common_classes([cfg]),
        repeats=1,
        warmup=0,
        device="cpu",
        options=options,
    )
    found = suite.complexity(args.config, settings)
    print(f"Input shape: {size}")
    print(f"Flops: {found['gflops']:.2f}G\nParams: {found['parameters_m']:.3f}M")


if __name__ == "__main__":
    run(main)
