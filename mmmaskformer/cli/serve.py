"""Open a page on this machine on which a model segments photographs."""

from __future__ import annotations

import argparse
from functools import partial

from .options import add_model, download_options

MEGA = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `main`."""
    add_model(parser)
    parser.add_argument(
        "--device",
        nargs="+",
        default=["auto"],
        help="one worker for each, for instance cuda:0 cuda:1; auto: a GPU where there is one",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 lets everybody in who reaches this machine",
    )
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names of this server beside its addresses, localhost and the machine's name",
    )
    parser.add_argument(
        "--max-megabytes", type=float, default=32, help="of an upload (2**20 bytes)"
    )
    parser.add_argument("--max-megapixels", type=float, default=50, help="of a photograph")
    parser.add_argument(
        "--timeout", type=float, default=120, help="seconds of an upload, and of the network"
    )
    parser.add_argument("--queue", type=int, default=16, help="photographs that may wait")
    parser.add_argument(
        "--keep", type=int, default=32, help="photographs whose answers a worker keeps"
    )


def main(args: argparse.Namespace) -> None:
    """Serve until somebody stops it."""
    from ..serve.limits import Limits
    from ..serve.server import serve
    from ..serve.worker import make_session

    limits = Limits(
        bytes=round(at_least("--max-megabytes", args.max_megabytes, 0.001) * (1 << 20)),
        pixels=round(at_least("--max-megapixels", args.max_megapixels, 0.001, 178) * MEGA),
        seconds=at_least("--timeout", args.timeout, 1),
        queue=round(at_least("--queue", args.queue, 1)),
        kept=round(at_least("--keep", args.keep, 1)),
    )
    at_least("--port", args.port, 0, 65535)
    options = download_options(args)
    makes = [
        partial(
            make_session, number, args.model, args.checkpoint, limits, {"device": device, **options}
        )
        for number, device in enumerate(args.device)
    ]
    print(f"loading {args.model}", flush=True)
    serve(makes, limits, host=args.host, port=args.port, names=args.allow_host)


def at_least(option: str, value: float, least: float, most: float = float("inf")) -> float:
    """The value of an option; ValueError out of its range."""
    if not least <= value <= most:
        wanted = f"at least {least:g}" + (f" and at most {most:g}" if most < float("inf") else "")
        raise ValueError(f"{option} must be {wanted}, got {value:g}")
    return value
