import importlib.util
import sys

from tests.conftest import ROOT


def test_benchmark_measures_both_pipelines(shared, monkeypatch, capsys):
    for name in ("panopticapi", "panopticapi.utils"):  # put back afterwards
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.spec_from_file_location("bench", ROOT / "tools/benchmark_data.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    root = str(shared / "data/coco_panoptic_mini/coco")
    monkeypatch.setattr(sys, "argv", ["bench", root, "--images", "2", "--rounds", "1"])
    tool.main()
    printed = capsys.readouterr().out
    fixed, recipe = (
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in printed.splitlines()
        if line.startswith(("│ fixed", "│ recipe"))
    )
    for row in (fixed, recipe):
        assert all(float(cell) > 0 for cell in row[1:4])
    ours, theirs = fixed[4].split(" / ")
    assert ours == theirs
