"""How every tool ends: one plain line for a mistake of its user, a traceback for one of ours."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

DEBUG = "MMMASKFORMER_DEBUG"
"""Environment variable that, as --debug does, asks for the traceback of a user's mistake, too."""
REPORT = (
    "error: this is a fault of the program, not of what it was given: please report the lines "
    "above, with the command and the config, where you got mmmaskformer from"
)
PACKAGE = Path(__file__).resolve().parents[1]
FRAME = re.compile(r'^ *File "(.+)", line \d+, in .+\n +(\S.*)$', re.MULTILINE)
LAST_ERROR = re.compile(r"^[\w.]+(?:: (.*))?\Z", re.MULTILINE | re.DOTALL)


class Parser(argparse.ArgumentParser):
    """argparse's, with `--debug`; an option that is wrong is one line, without the usage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_argument(
            "--debug", action="store_true", help=f"show the traceback of errors, as {DEBUG}=1 does"
        )

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{self.prog}: {message} (--help lists the options)")


def run(main: Callable[[], object]) -> None:
    """Call `main`, and end the process as its outcome asks for; see `one_line_errors`."""
    with one_line_errors():
        main()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Whatever goes wrong in the block ends the process.

    A mistake of the user (`is_mistake`) becomes one line on stderr and exit code 2. Ctrl-C ends
    with 130, a reader who closes the pipe with 141, both silently. Any other error keeps its
    traceback and is followed by a line that asks for a report, exit code 1.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        mistake = is_mistake(error)
        if not mistake or "--debug" in sys.argv or os.environ.get(DEBUG, "0") != "0":
            traceback.print_exc()
        print(f"error: {one_line(error)}" if mistake else REPORT, file=sys.stderr)
        sys.exit(2 if mistake else 1)


def is_mistake(error: BaseException) -> bool:
    """Whether an error is about what the program was given, or about the machine.

    So are the operating system's errors, want of memory, killed workers, and whatever a `raise`
    of this package, its tools and benchmarks says. An error that other packages raise is a fault
    of ours that went unforeseen, whatever its class: who calls them with the user's data turns
    their complaints into one of his own.
    """
    if isinstance(error, (OSError, MemoryError, BrokenProcessPool)) or out_of_memory(error):
        return True
    if isinstance(error, (AssertionError, NotImplementedError)):
        return False
    return raised_here(error) or "DataLoader worker (pid" in str(error)


def raised_here(error: BaseException) -> bool:
    """Whether a `raise` statement of ours made the error, in this process or in a worker."""
    frames = [(f.filename, f.line or "") for f in traceback.extract_tb(error.__traceback__)]
    # Workers send their tracebacks as text: pools as the cause, torch's loader in the message.
    remote = str(error.__cause__) if "_RemoteTraceback" in repr(type(error.__cause__)) else ""
    remote = remote or (str(error) if "Original Traceback" in str(error) else "")
    frames = FRAME.findall(remote) or frames
    if not frames:
        return False
    file, line = frames[-1]
    beside = (PACKAGE.parent / folder for folder in ("tools", "benchmarks"))
    ours = (PACKAGE, *beside, Path(sys.argv[0]).resolve().parent)
    return line.startswith("raise ") and not {*ours}.isdisjoint(Path(file).resolve().parents)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch found too little memory on a GPU or in the machine."""
    refused = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return refused or type(error).__name__ == "OutOfMemoryError"


def one_line(error: BaseException) -> str:
    """What is wrong, in printable characters and one line."""
    text = str(error)
    if "Original Traceback" in text:
        found = LAST_ERROR.search(text.rstrip(), text.rfind("\n  File "))
        text = (found and found[1]) or text
    elif isinstance(error, FileExistsError) and os.path.isfile(str(error.filename)):
        text = f"{error.filename} is a file; wanted a folder"
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, KeyError) and error.args:
        text = str(error.args[0])  # str() of a KeyError is the repr of its message
    elif isinstance(error, BrokenProcessPool):
        text = "a worker was killed, perhaps for want of memory; try --workers 1"
    elif "DataLoader worker (pid" in text:
        text += "; perhaps for want of memory: try a smaller num_workers in the dataloaders"
    elif isinstance(error, MemoryError) or out_of_memory(error):
        text = f"out of memory ({text}); try a smaller batch_size or smaller images"
    text = " ".join(text.split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)
