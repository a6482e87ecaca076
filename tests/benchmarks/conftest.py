import json

import pytest

from benchmarks.kit import measure, processes, runs
from tests.commands import warm_context

LOG = """\
2026/11/26 23:{minute}:30 - mmengine - INFO - begins
    PyTorch: 2.13.0+cpu
|  Class | IoU  | Acc  |
|  sky   | 10.0 | 20.0 |
| a road | {iou} | nan  |
| a boat | nan  | nan  |
2026/11/27 00:01:00 - mmengine - INFO - ends
"""
TEST_LOG = """\
|  Class | IoU  | Acc  |
|  sky   | 44.0 | 20.0 |
"""


@pytest.fixture
def warm(monkeypatch):
    """Fresh processes fork one that has imported the stack; `test_measure` spawns them."""
    for module in (measure, processes):
        monkeypatch.setattr(module, "get_context", warm_context)


def entry(step, **values):
    return json.dumps(dict(step=step, **values)) + "\n"


@pytest.fixture
def work_dir(tmp_path):
    """Two seeds of one row, both killed after step 40 and resumed from 20; one was tested."""
    for seed, iou in enumerate((60.0, 62.0)):
        folder = tmp_path / f"camvid/MaskFormer-seed{seed}"
        first, second = folder / "1/vis_data", folder / "2/vis_data"
        for path in (first, second):
            path.mkdir(parents=True)
        lines = entry(20, loss=4.0, time=1.0) + entry(40, loss=3.5, time=9.0)
        (first / "scalars.json").write_text(lines + '{"half": ')
        lines = entry(40, loss=3.0, time=2.0) + entry(60, loss=2.0, time=2.0)
        lines += entry(60, mIoU=iou, aAcc=90.0, PQ_st=50.0 + seed, data_time=0.1)
        (second / "scalars.json").write_text(lines)
        (folder / "1/1.log").write_text(LOG.format(iou="1.0", minute=58))
        (folder / "2/2.log").write_text(LOG.format(iou=f"{iou}", minute=50))
        (folder / runs.MEMORY).write_text(json.dumps({"peak_mb": 900 + seed}))
    test = folder / "test_test/3"
    test.mkdir(parents=True)
    (test / "3.json").write_text(json.dumps({"mIoU": 55.558, "aAcc": 88.0, "time": 1.0}))
    (test / "3.log").write_text(TEST_LOG)
    (test.parent / "test.txt").write_text("test")
    return tmp_path
