"""List the models that come with the package, or download released weights"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from ..utils.text import listing
from ..zoo import Model, models
from ..zoo.catalogue import DATASETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `mmmaskformer models`."""
    parser.add_argument("--task", choices=["semantic", "panoptic"], help="models of one task only")
    parser.add_argument("--dataset", metavar="NAME", help="models of one dataset only")
    parser.add_argument(
        "--released", action="store_true", help="models whose weights can be downloaded only"
    )
    parser.add_argument("--json", action="store_true", help="print json instead of a table")
    parser.add_argument(
        "--download",
        metavar="NAME",
        nargs="+",
        help="download and convert the released weights of these models, and print their paths",
    )
    parser.add_argument(
        "--accept-license", action="store_true", help="agree to the licence of released weights"
    )


def main(args: argparse.Namespace) -> None:
    """Print the models that the options leave, or the paths of downloaded weights."""
    if args.download:
        from ..zoo.releases import released_model, weights

        for name in args.download:
            released_model(name)  # a name that is wrong is told before anything is downloaded
        for name in args.download:
            print(weights(name, accept_license=args.accept_license))
        return
    found = chosen(args)
    if args.json:
        print(json.dumps([as_json(model) for model in found], indent=2))
    else:
        print_table(found)


def chosen(args: argparse.Namespace) -> list[Model]:
    """The models that the options leave, sorted by name.

    Raises:
        ValueError: there is no such dataset.
    """
    datasets = sorted({model.dataset for model in models()})
    wanted = None if args.dataset is None else key(DATASETS.get(args.dataset, args.dataset))
    if wanted is not None and wanted not in map(key, datasets):
        raise ValueError(
            f"--dataset {args.dataset!r}: no model is of it; wanted one of {listing(datasets, 20)}"
        )
    return [
        model
        for model in models()
        if args.task in (None, model.task)
        if wanted in (None, key(model.dataset))
        if model.released or not args.released
    ]


def key(dataset: str) -> str:
    """A dataset's name without what people write in different ways."""
    return "".join(c for c in dataset.lower() if c.isalnum())


def as_json(model: Model) -> dict:
    """What is known of a model, in json's types."""
    return {**vars(model), "config": str(model.config), "results": dict(model.results)}


def print_table(found: Sequence[Model]) -> None:
    """A table for people; as wide as it must be where it is not shown on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("name", "task", "dataset", "paper, %"):
        table.add_column(column, no_wrap=column == "name")
    table.add_column("parameters, M", justify="right")
    table.add_column("training, GB per GPU", justify="right")
    table.add_column("released weights")
    for model in found:
        results = ", ".join(f"{metric} {value}" for metric, value in model.results.items())
        size = f"{model.parameters / 1e6:.1f}" if model.parameters else ""
        memory = f"{model.memory}" if model.memory else ""
        licence = model.licence or ""
        table.add_row(model.name, model.task, model.dataset, results, size, memory, licence)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    released = sum(model.released for model in found)
    console.print(
        f"{len(found)} models, {released} with weights that the paper's authors released; results, "
        "parameters and memory are the paper's"
    )
