"""The configs that come with the package, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".mim" / "configs"
"""The configs, in a checkout and in an installed package."""


def names() -> list[str]:
    """The names of all configs, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def config_file(name_or_config: str | Path) -> Path:
    """The config of a model's name, or the config that a path names.

    Raises:
        FileNotFoundError: there is neither; the nearest names are in the message.
    """
    path = Path(name_or_config)
    named = FOLDER / f"{name_or_config}.py"
    if path.parent == Path() and named.is_file():
        return named
    if path.suffix == ".py" and path.is_file():
        return path
    near = difflib.get_close_matches(path.stem, names(), 3) or names()[:3]
    raise FileNotFoundError(
        f"no model or config is called {str(name_or_config)!r}; wanted a name of "
        f"`mmmaskformer models`, for instance {', '.join(near)}, or a config file"
    )
