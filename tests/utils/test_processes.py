import os
import time

import pytest

from mmmaskformer.utils.processes import map_in_processes


def square(value, pause=0.0):
    time.sleep(pause)
    return value * value, os.getpid()


def fail_at(value, folder):
    if value == 1:
        raise ValueError("no 1")
    time.sleep(0.05)
    (folder / str(value)).touch()
    return value


@pytest.mark.parametrize(("workers", "apart"), [(1, False), (2, True), (9, True)])
def test_results_come_in_the_order_of_the_tasks(workers, apart):
    tasks = [(value, 0.05 * (value == 0)) for value in range(5)]
    seen = []

    def track(items):
        for item in items:
            seen.append(item)
            yield item

    results = list(map_in_processes(square, tasks, workers, track))
    assert [value for value, _ in results] == [0, 1, 4, 9, 16]
    assert (os.getpid() not in {pid for _, pid in results}) == apart
    assert len(seen) == 5


def test_a_single_task_and_none_need_no_process():
    assert list(map_in_processes(square, [(3,)], 8)) == [(9, os.getpid())]
    assert list(map_in_processes(square, [], 8)) == []


def test_an_error_is_raised_and_waiting_tasks_are_not_started(tmp_path):
    with pytest.raises(ValueError, match="no 1"):
        list(map_in_processes(fail_at, [(value, tmp_path) for value in range(60)], 2))
    assert 0 < len(list(tmp_path.iterdir())) < 30


def test_tasks_nobody_asks_for_are_not_started(tmp_path):
    results = map_in_processes(fail_at, [(value, tmp_path) for value in range(2, 60)], 2)
    assert next(results) == 2
    results.close()
    assert len(list(tmp_path.iterdir())) < 30
