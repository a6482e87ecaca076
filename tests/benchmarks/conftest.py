import pytest

from benchmarks.kit import measure, processes
from tests.commands import warm_context


@pytest.fixture
def warm(monkeypatch):
    """Fresh processes fork one that has imported the stack; `test_measure` spawns them."""
    for module in (measure, processes):
        monkeypatch.setattr(module, "get_context", warm_context)
