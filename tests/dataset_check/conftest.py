import pytest

from tests.dataset_check.tree import Tree
from tests.datasets.conftest import folder  # noqa: F401


@pytest.fixture
def tree(tmp_path, monkeypatch, capsys):
    return Tree(tmp_path, monkeypatch, capsys)
