"""One row in a process of its own, and what became of it."""

from __future__ import annotations

import os
import re
import resource
import runpy
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bad_inputs.row import Row
from tests.conftest import ROOT

SECONDS = 60
MEMORY = 6 << 30
"""Address space that a row may take beyond what the imports take."""
GOOD = ("one clear line", "accepted")
VERDICTS = (
    *GOOD,
    "refused",
    "unclear",
    "traceback with a clear line",
    "traceback",
    "silently wrong",
    "hang",
    "crash",
    "ran code",
)
EXPECTED_ERRORS = (ValueError, TypeError, OSError, ImportError, RuntimeError, KeyError)
"""What a Python function may raise for arguments that are wrong; KeyError is the registries'."""


@dataclass(frozen=True)
class Outcome:
    verdict: str
    text: str
    seconds: float

    @property
    def last(self) -> str:
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def copy_inputs(source: Path, target: Path) -> None:
    """The good inputs for one row; large files are linked."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        elif path.stat().st_size > 1 << 22:
            (target / path.name).symlink_to(path)
        else:
            shutil.copy(path, target / path.name)


class Running:
    """A row on its way, in a forked process."""

    def __init__(self, row: Row, folder: Path) -> None:
        self.row, self.folder, self.started = row, folder, time.monotonic()
        self.log = folder.with_name(f"{folder.name}.log")
        self.child = os.fork()
        if self.child == 0:
            _work(row, folder, self.log)

    def outcome(self) -> Outcome | None:
        """What became of it, or None while it runs and may go on."""
        seconds = time.monotonic() - self.started
        done, status = os.waitpid(self.child, os.WNOHANG)
        code: int | None = os.waitstatus_to_exitcode(status)
        if not done:
            if seconds < SECONDS:
                return None
            code = None
            os.killpg(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        verdict = judge(self.row, code, text)
        if (self.folder / "PWNED").exists():  # what hostile files make where they run
            verdict = "ran code"
        return Outcome(verdict, text, seconds)


def run(row: Row, folder: Path) -> Outcome:
    """Run one row in a folder that has the inputs already."""
    running = Running(row, folder)
    while (outcome := running.outcome()) is None:
        time.sleep(0.01)
    return outcome


def run_all(rows: Sequence[Row], inputs: Path, jobs: int) -> Iterator[tuple[int, Outcome]]:
    """Numbers of rows and what became of them, as they end; each has its own copy of the inputs."""
    waiting, active = list(enumerate(rows))[::-1], {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or active:
            if waiting and len(active) < jobs:
                number, row = waiting.pop()
                place = Path(folder) / str(number)
                copy_inputs(inputs, place)
                active[number] = Running(row, place)
            for number, running in list(active.items()):
                outcome = running.outcome()
                if outcome is not None:
                    del active[number]
                    shutil.rmtree(Path(folder) / str(number), ignore_errors=True)
                    yield number, outcome
            time.sleep(0.01)


def _work(row: Row, folder: Path, log: Path) -> None:
    """Never returns. The output goes to the log, as a terminal would show it."""
    status = 1
    try:
        os.setpgid(0, 0)
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
        os.chdir(folder)
        os.environ["COLUMNS"] = "1000"  # rich breaks lines
        if row.change is not None:
            row.change(folder)
        status = _call(row)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _call(row: Row) -> int:
    warnings.simplefilter("ignore")
    try:
        if row.call is not None:
            row.call()
        else:
            sys.argv = [f"tools/{row.tool}.py", *shlex.split(row.arguments)]
            runpy.run_path(str(ROOT / f"tools/{row.tool}.py"), run_name="__main__")
    except SystemExit as ending:
        if isinstance(ending.code, int) or ending.code is None:
            return ending.code or 0
        print(ending.code, file=sys.stderr)
        return 1
    except BaseException as error:
        if row.call is not None and isinstance(error, EXPECTED_ERRORS):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    return 0


ERROR_LINE = re.compile(r"^(?:[\w.-]+: )?error: ", re.MULTILINE)


def judge(row: Row, status: int | None, text: str) -> str:
    """One of VERDICTS."""
    if status is None:
        return "hang"
    if status < 0:
        return "crash"
    accepts, either, words = re.fullmatch(r"(?:(ok)(?:: |$)|(ok)\|)?(.*)", row.wants).groups()
    if accepts or (either and status == 0):
        if status == 0 and (either or re.search(words, text)):
            return "accepted"
        return "refused" if status else "silently wrong"
    if status == 0:
        return "silently wrong"
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    # check_dataset reports every finding, and says in its last line how many there are.
    said = " ".join(text.split()) if row.tool == "check_dataset" else last
    clear = re.search(words, said, re.IGNORECASE) is not None
    if "Traceback (most recent call last)" in text:
        return "traceback with a clear line" if clear else "traceback"
    return "one clear line" if clear and ERROR_LINE.match(last) else "unclear"
