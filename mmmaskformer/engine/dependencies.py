"""What the package needs, in one place: `setup.py` and the check at import both read it.

`docs/versions.md` lists the runs that the bounds come from.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from dataclasses import dataclass


@dataclass(frozen=True)
class Needed:
    """One dependency.

    Attributes:
        module: what is imported; a fork of another name that provides it is as good.
        bounds: versions that can work, as pip writes them; others are an error.
        tried: versions that were tried; others in `bounds` are a warning. Empty: all of them.
        instead: other distributions of the same versions, the one to suggest first.
    """

    module: str
    bounds: str
    tried: str = ""
    instead: tuple[str, ...] = ()


PYTHON = ">=3.10,<3.14"

REQUIRED = {
    "torch": Needed("torch", ">=2.3.1", "<2.16"),
    "mmengine": Needed("mmengine", ">=0.10.4,<0.11"),
    "mmsegmentation": Needed("mmseg", ">=1.2.2,<1.3"),
    "mmdet": Needed("mmdet", ">=3.3,<3.4"),
    "scipy": Needed("scipy", ">=1.8.1"),
    "numpy": Needed("numpy", ">=1.22.4"),
    "opencv-python": Needed("cv2", ">=4.5.5", instead=("opencv-python-headless",)),
    # mmseg imports these two without requiring them.
    "ftfy": Needed("ftfy", ">=6.0.3"),
    "regex": Needed("regex", ">=2021.11"),
    # mmengine imports pkg_resources, which setuptools 81 dropped.
    "setuptools": Needed("setuptools", ">=58.5,<81"),
    # Before, 16-bit label maps opened as 32-bit ones.
    "pillow": Needed("PIL", ">=10.3"),
    "rich": Needed("rich", ">=12.3"),
    "matplotlib": Needed("matplotlib", ">=3.6"),
    "packaging": Needed("packaging", ">=20.9"),
}
MMCV = Needed("mmcv", ">=2.0.0,<2.2", instead=("mmcv-lite",))
"""Either `mmcv` or `mmcv-lite` must be there in this range."""

H5PY = ">=3.7"
"""Only the annotations of COCO-Stuff-10K need it."""


def check_dependencies() -> None:
    """Raise one ImportError with the command that mends everything missing or too old.

    A version that was not tried, and a fork with versions of its own, are warnings.
    """
    problems, command = [], []
    for name, needed in {**REQUIRED, "mmcv": MMCV}.items():
        found = installed(name, needed)
        if found is None:
            problems.append(f"{name}{needed.bounds} (not installed)")
        elif not fits(found[1], needed.bounds):
            text = f"{name}{needed.bounds} (found {' '.join(found)})"
            if found[0] not in (name, *needed.instead):
                warnings.warn(
                    f"mmmaskformer was written for {text}, which was not tried", stacklevel=2
                )
                continue
            problems.append(text)
        else:
            if not fits(found[1], needed.tried):
                warnings.warn(
                    f"mmmaskformer was tried with {name}{needed.tried}, not with the installed "
                    f"{found[1]}",
                    stacklevel=2,
                )
            continue
        suggested = needed.instead[0] if name == "mmcv" else name
        command.append(f"'{(found or [suggested])[0]}{needed.bounds}'")
    if problems:
        raise ImportError(
            f"mmmaskformer needs {'; '.join(problems)}. Run: pip install {' '.join(command)}"
        )


def installed(name: str, needed: Needed) -> tuple[str, str] | None:
    """Name and version of the distribution that provides a module; None without the module.

    The version is empty where nothing tells it.
    """
    if not importable(needed.module):
        return None
    for option in (name, *needed.instead):
        version = version_of(option)
        if version is not None:
            return option, version
    forks = importlib.metadata.packages_distributions().get(needed.module, ())
    return (forks[0], version_of(forks[0]) or "") if forks else (name, "")


def importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def version_of(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def fits(version: str, bounds: str) -> bool:
    """Whether a version, without its local part, is in the bounds; an unknown one is."""
    from packaging.specifiers import SpecifierSet

    release = version.split("+")[0]
    return not release or SpecifierSet(bounds, prereleases=True).contains(release)
