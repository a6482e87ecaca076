"""mkdocs runs this: a line `::: package.*` becomes one line for each module of the package.

The packages themselves are left out, because they would repeat what they import from their modules.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_) -> str:
    """The page with the names of the modules in place of the pattern."""
    return re.sub(r"^::: ([\w.]+)\.\*$", lambda match: directives(match[1]), markdown, flags=re.M)


def directives(package: str) -> str:
    """One line for each module of a package, in the order of their names."""
    folder = ROOT / package.replace(".", "/")
    files = sorted(path for path in folder.rglob("*.py") if not path.name.startswith("_"))
    if not files:
        raise ValueError(f"::: {package}.*: {folder} has no modules")
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)
    return "\n\n".join(f"::: {name}" for name in names)
