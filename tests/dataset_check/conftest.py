from tests.datasets.conftest import folder  # noqa: F401
