"""List the models that come with the package, or download released weights"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from ..utils.text import listing
from ..zoo import Model, models
from ..zoo.catalogue import DATASETS
from .options import add_license


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
    add_license(parser)


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
    elif not found:
        print("no model is of this task and this dataset", file=sys.stderr)
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


NARROW = 110
"""Characters in a line, below which a terminal has no room for the whole table."""


def cells(model: Model) -> dict[str, str]:
    """What a row of the table says, by column."""
    return {
        "name": model.name,
        "task": model.task,
        "dataset": model.dataset,
        "paper, %": ", ".join(f"{metric} {value}" for metric, value in model.results.items()),
        "params, M": f"{model.parameters / 1e6:.1f}" if model.parameters else "",
        "train, GB": f"{model.memory}" if model.memory else "",
        "weights": model.licence or "",
    }


def print_table(found: Sequence[Model]) -> None:
    """A table for people; as wide as it must be where it is not shown on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200)
    wide = console.width >= NARROW
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    columns = [
        column
        for column in cells(found[0])
        if wide or column not in ("task", "params, M", "train, GB")
    ]
    for column in columns:
        right = column in ("params, M", "train, GB")
        table.add_column(column, justify="right" if right else "left", no_wrap=column == "name")
    for model in found:
        row = cells(model)
        table.add_row(*(row[column] for column in columns))
    console.print(table)
    released = sum(model.released for model in found)
    print(f"{len(found)} models, {released} with weights that the paper's authors released")
    print("results, parameters and memory of training, per GPU, are the paper's")
    if not wide:
        print("a wider terminal shows task, parameters and memory")
