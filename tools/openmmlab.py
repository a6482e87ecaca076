r"""Run a script of mmseg or mmdet on a config, with the stack mended before it is imported.

    python tools/openmmlab.py mmseg analysis_tools/browse_dataset.py CONFIG \
        --output-dir shown --not-show

The script's own options follow its name. Without a name the scripts are listed.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

import mmmaskformer  # noqa: F401  (mends the stack before the script imports mmseg)
from mmmaskformer.utils.command import run

PACKAGES = ("mmseg", "mmdet")


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return
    package, *rest = arguments
    if package not in PACKAGES:
        raise ValueError(f"no scripts of {package!r} are known; wanted {' or '.join(PACKAGES)}")
    folder = Path(importlib.util.find_spec(package).origin).parent / ".mim/tools"
    if not rest:
        print("\n".join(sorted(str(f.relative_to(folder)) for f in folder.rglob("*.py"))))
        return
    script = folder / rest[0]
    if not script.is_file():
        raise ValueError(f"{package} has no script {rest[0]}; without a name they are listed")
    sys.argv = [str(script), *rest[1:]]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    run(main)
