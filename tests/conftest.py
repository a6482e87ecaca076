import runpy
import sys
from pathlib import Path

import pytest
import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared():
    """Folder with real data and reference numbers; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared here")
    return SHARED


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def convert(monkeypatch, capsys):
    """tools/convert_weights.py in this process; the text it prints, or its one line of error."""

    tool = str(ROOT / "tools/convert_weights.py")

    def run(*arguments, ok=True):
        monkeypatch.setattr(sys, "argv", ["convert_weights.py", *map(str, arguments)])
        if ok:
            runpy.run_path(tool, run_name="__main__")
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(tool, run_name="__main__")
        message = exit_info.value.code
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return run
