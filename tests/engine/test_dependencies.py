"""The check of what is installed, with other installations pretended."""

import importlib.metadata
import re
import warnings

import pytest

from mmmaskformer.engine import dependencies
from tests.conftest import ROOT

TABLE = ROOT / "docs/versions.md"


@pytest.fixture
def pretend(monkeypatch):
    """Change the installed versions (None: no such distribution) and, optionally, forks."""

    def change(versions, forks=None, missing=()):
        real, find = dependencies.version_of, dependencies.importable
        monkeypatch.setattr(
            dependencies, "version_of", lambda n: versions[n] if n in versions else real(n)
        )
        monkeypatch.setattr(dependencies, "importable", lambda m: m not in missing and find(m))
        if forks is not None:
            monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: forks)

    return change


def test_this_installation_is_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dependencies.check_dependencies()


def test_missing_dependencies_are_one_error_with_the_command(pretend):
    pretend({"mmdet": None, "mmcv": None, "mmcv-lite": None}, missing=("mmdet", "mmcv"))
    with pytest.raises(
        ImportError,
        match=r"needs mmdet>=3.3,<3.4 \(not installed\); mmcv.*"
        r"pip install 'mmdet>=3.3,<3.4' 'mmcv-lite>=2.0.0,<2.2'$",
    ):
        dependencies.check_dependencies()


def test_an_impossible_version_is_an_error_that_names_the_installed_distribution(pretend):
    pretend({"mmcv": "1.7.0", "mmcv-lite": None})
    with pytest.raises(ImportError, match=r"found mmcv 1\.7\.0.*pip install 'mmcv>=2.0.0,<2.2'$"):
        dependencies.check_dependencies()


def test_a_newer_torch_than_tried_is_a_warning(pretend):
    pretend({"torch": "9.1.0+cu999"})
    with pytest.warns(UserWarning, match=r"tried with torch<.*installed 9\.1\.0\+cu999$"):
        dependencies.check_dependencies()


@pytest.mark.parametrize(("version", "warns"), [("0.10.9", False), ("0.11.2", True)])
def test_forks_are_known_by_their_module(pretend, version, warns):
    pretend({"mmengine": None, "onedl-mmengine": version}, forks={"mmengine": ["onedl-mmengine"]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dependencies.check_dependencies()
    lines = [str(one.message) for one in caught]
    assert len(lines) == warns
    assert all("onedl-mmengine 0.11.2" in line and "pip" not in line for line in lines)


def test_opencv_without_windows_is_enough(pretend):
    pretend({"opencv-python": None, "opencv-python-headless": "4.10.0"})
    dependencies.check_dependencies()


def test_the_setup_script_and_the_table_of_versions_say_the_same():
    first, stop = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", dependencies.PYTHON).groups())
    script = (ROOT / "tools/setup_env.sh").read_text()
    assert f"(3, {first}) <= sys.version_info[:2] <= (3, {stop - 1})" in script
    assert set(re.findall(r"3\.\d+ to 3\.\d+", script)) == {f"3.{first} to 3.{stop - 1}"}
    torch = dependencies.REQUIRED["torch"]
    assert f"'torch{torch.bounds},{torch.tried}'" in script
    rows = re.findall(
        r"^\| 20\S+ \| 3\.(\d+)\S* \| (\S+) \| .*\| passed", TABLE.read_text(), re.MULTILINE
    )
    assert {int(python) for python, _ in rows} == set(range(first, stop))
    versions = sorted((tuple(map(int, v.split("."))), v) for _, v in rows)
    assert torch.bounds == f">={versions[0][1]}"
    major, minor, _ = versions[-1][0]
    assert torch.tried == f"<{major}.{minor + 1}"
