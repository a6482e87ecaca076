from tests.inference.conftest import checkpoints, film, photographs  # noqa: F401
