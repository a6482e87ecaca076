"""Options that several sub commands have."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any


def add_model(parser: ArgumentParser) -> None:
    """Which model, with which weights."""
    parser.add_argument(
        "--model", required=True, help="a name of `mmmaskformer models`, or a config file"
    )
    parser.add_argument("--checkpoint", help="the model's weights; default: the released ones")
    add_license(parser)
    parser.add_argument("--offline", action="store_true", help="download no weights")


def add_license(parser: ArgumentParser) -> None:
    """The agreement to the licence of released weights."""
    parser.add_argument(
        "--accept-license", action="store_true", help="agree to that of the released weights"
    )


def download_options(args: Namespace) -> dict[str, Any]:
    """What `zoo.load` and `Predictor` have to know about released weights."""
    return dict(accept_license=args.accept_license, offline=args.offline)
