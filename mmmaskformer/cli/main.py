"""mmmaskformer COMMAND ...: one front for everything that users do."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

from ..utils.command import Parser, one_line_errors
from . import export, models, predict, serve

COMMANDS: dict[str, ModuleType] = {
    "models": models,
    "predict": predict,
    "serve": serve,
    "export": export,
}
"""Sub commands. Each module has `add_arguments(parser)` and `main(args)`, which may return the
exit code; its docstring is its description. Nothing heavy is imported before `main`."""
TOOLS = {
    "train": ("train.py", "train a model of a config"),
    "test": ("test.py", "test a model, or predict a folder of images without labels"),
    "convert": ("convert_weights.py", "convert weights of other implementations"),
    "check": ("check_dataset.py", "look for mistakes in the files of a dataset"),
}
"""Commands that are scripts of `tools/`, which are part of an installed package, too."""
FOLDER = Path(__file__).resolve().parents[1] / ".mim"
EXTRAS = {"mmcv": "lite", "onnx": "export", "onnxruntime": "export", "onnxscript": "export"}
"""Package -> extra that installs it; another one that is missing is in the command's own extra."""


def main() -> None:
    """Run the sub command that the arguments name."""
    with one_line_errors():
        if len(sys.argv) > 1 and sys.argv[1] in TOOLS:
            run_tool(*sys.argv[1:])
            return
        parser = Parser(prog="mmmaskformer", description="MaskFormer on your own photographs")
        choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name, module in COMMANDS.items():
            text = (module.__doc__ or "").strip()
            short = text.splitlines()[0].rstrip(".").replace("%", "%%")
            module.add_arguments(choices.add_parser(name, help=short, description=text))
        for name, (_, text) in TOOLS.items():
            choices.add_parser(name, help=text)
        args = parser.parse_args()
        try:
            status = COMMANDS[args.command].main(args)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("mmmaskformer"):
                raise
            raise ValueError(missing(args.command, error)) from error
        sys.exit(status)


def missing(command: str, error: ModuleNotFoundError) -> str:
    """Which package a command lacks, and how to get it."""
    package = (error.name or str(error)).split(".")[0]
    extra = EXTRAS.get(package, command)
    return f"{command} needs the package {package}: pip install 'mmmaskformer[{extra}]'"


def run_tool(command: str, *arguments: str) -> None:
    """Run a script of `tools/` as if it had been called itself.

    The name of a model may stand for the path of its config.
    """
    path = FOLDER / "tools" / TOOLS[command][0]
    tool = runpy.run_path(str(path), run_name=f"{__package__}.{path.stem}")
    named = [str(config) if (config := _config(text)) else text for text in arguments]
    sys.argv = [f"{sys.argv[0]} {command}", *named]  # what the tool calls itself in its usage
    tool["main"]()


def _config(name: str) -> Path | None:
    path = FOLDER / "configs" / f"{name}.py"
    known = Path(name).name == name and path.is_file() and not Path(name).exists()
    return path if known else None
