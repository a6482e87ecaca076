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
