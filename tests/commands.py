"""The command lines as a user runs them, in processes of their own.

`python` forks a process that has imported the stack, which takes seconds, and so do the processes
that the script spawns. `cold` starts from nothing, as users do; the tools that they type first are
called that way, too, so that a missing import is seen.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tests.conftest import ROOT, WARM


def run(*command, ok=True, **environment):
    """What a command prints, in a process that starts from nothing."""
    result = subprocess.run(
        [str(c) for c in command],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
    )
    assert (result.returncode == 0) == ok, result.stdout[-3000:]
    return result.stdout


def cold(*command, **kwargs):
    """What a script of the repository prints, in an interpreter that starts from nothing."""
    return run(sys.executable, "-W", "ignore", *command, **kwargs)


def warm_context(method=None, get_context=multiprocessing.get_context):
    """Forks where a fresh process is spawned."""
    return WARM if method == "spawn" else get_context(method)


def call(command, output, environment, address):
    """What an interpreter does with a script and its arguments, in the child."""
    # The child of a server does not know where it is, and would start one of its own.
    server = forkserver._forkserver
    server._forkserver_address, server.ensure_running = address, lambda: None
    with open(output, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    multiprocessing.get_context = warm_context
    os.chdir(ROOT)
    os.environ.update(environment)
    warnings.simplefilter("ignore")
    sys.argv = command
    sys.path[0] = str(Path(command[0]).resolve().parent)
    runpy.run_path(command[0], run_name="__main__")


def python(*command, ok=True, **environment):
    """What a script prints, in a process forked from one that has imported the stack."""
    with tempfile.NamedTemporaryFile() as output:
        forkserver.ensure_running()
        address = forkserver._forkserver._forkserver_address
        arguments = [str(c) for c in command], output.name, environment, address
        process = WARM.Process(target=call, args=arguments)
        process.start()
        process.join()
        text = Path(output.name).read_text()
    assert (process.exitcode == 0) == ok, text[-3000:]
    return text


def mistake(capsys, call, *arguments, **keywords):
    """The one line of error with which a tool that is called in this process ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        call(*arguments, **keywords)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line
