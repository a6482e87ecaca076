"""The command lines, run as a user runs them."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def run(*command, ok=True, **environment):
    result = subprocess.run(
        [str(c) for c in command],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert (result.returncode == 0) == ok, result.stdout[-3000:]
    return result.stdout


def python(*command, **kwargs):
    return run(sys.executable, "-W", "ignore", *command, **kwargs)
