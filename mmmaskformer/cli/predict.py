"""Predict photographs, folders, videos.

mmmaskformer predict photo.jpg --model NAME --out results
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("source", nargs="+", help="images, folders, patterns, URLs or videos")
    parser.add_argument("--model", required=True, help="a name of `mmmaskformer models`, or a config")
    parser.add_argument("--checkpoint", help="the model's weights; default: the released ones")
    parser.add_argument("--out", default="results", help="folder for what is written")


def main(args: argparse.Namespace) -> int:
    """Predict, and say how it went: 0 is good, 1 is some skipped."""
    from ..inference import Predictor

    predictor = Predictor(args.model, args.checkpoint)
    for prediction in predictor(args.source):
        print(prediction.name, prediction.panoptic.segments)
    return 1 if predictor.skipped else 0
