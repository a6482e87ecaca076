import pytest

from tests.engine.runs import run
from tests.engine.traps import SEED


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("whole") / "run"
    assert run(work_dir, **SEED) == [0]
    return work_dir
