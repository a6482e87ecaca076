"""mmmaskformer COMMAND ...: one front for everything that users do."""

from __future__ import annotations

from types import ModuleType

from ..utils.command import Parser, one_line_errors
from . import serve

COMMANDS: dict[str, ModuleType] = {"serve": serve}
"""Sub commands. Each module has `add_arguments(parser)` and `main(args)`; its docstring is its
description. Nothing heavy is imported before `main`."""


def main() -> None:
    """Run the sub command that the arguments name."""
    with one_line_errors():
        parser = Parser(prog="mmmaskformer", description="MaskFormer on your own photographs")
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name, module in COMMANDS.items():
            text = module.__doc__
            module.add_arguments(commands.add_parser(name, help=text, description=text))
        args = parser.parse_args()
        COMMANDS[args.command].main(args)
