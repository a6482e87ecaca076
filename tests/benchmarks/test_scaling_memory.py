"""Measurements that memory does not suffice for."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks.kit import measure, models, scaling, suite
from tests.benchmarks.test_scaling import BASE, OURS, made_up


def want_too_much():
    """What the system would give, but not the limit: nine tenths."""
    available = int(measure.kernel_mb("/proc/meminfo", "MemAvailable")) << 20
    measure.limit_memory()
    try:
        torch.empty(98 * available // 100, dtype=torch.uint8)
    except RuntimeError as error:
        return measure.ran_out_of_memory(error)
    return False


@pytest.mark.usefixtures("warm")
def test_a_process_that_wants_too_much_fails_by_itself():
    assert measure.in_fresh_process(want_too_much)
    assert measure.ran_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert measure.ran_out_of_memory(MemoryError())
    assert not measure.ran_out_of_memory(RuntimeError("wrong shape"))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("could not create a primitive", True),
        ("could not execute a primitive", True),
        ("could not create a primitive descriptor for a matmul primitive", False),
    ],
)
def test_errors_of_onednn(text, known):
    assert measure.ran_out_of_memory(RuntimeError(text)) == known


def test_errors_for_want_of_memory_stay_such():
    def fail(error):
        raise error

    with pytest.raises(MemoryError, match=r"^config a.py: OutOfMemoryError: CUDA"):
        suite.naming("a.py")(fail)(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(ValueError, match=r"^config a.py: RuntimeError: wrong"):
        suite.naming("a.py")(fail)(RuntimeError("wrong"))
    with pytest.raises(ValueError, match=r"^config b.py: key$"), suite.naming("a.py"):
        fail(ValueError("config b.py: key"))


class Step:
    """Counts its calls; the one of `fails` fails."""

    def __init__(self, fails=0):
        self.fails, self.calls = fails, 0

    def __call__(self):
        self.calls += 1
        if self.calls == self.fails:
            raise MemoryError


@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize("warmup", [0, 3])
def test_what_does_not_fit_beside_the_others_is_left_out(monkeypatch, fails, warmup):
    """And freed: it would take the memory of those that do."""
    good, bad = Step(), Step(fails)
    bad_ref = weakref.ref(bad)
    handed_over = [{(2, "a.py"): good, (4, "a.py"): bad}]
    del bad
    monkeypatch.setattr(scaling, "prepare_steps", lambda cells: handed_over.pop())
    monkeypatch.setattr(scaling, "limit_memory", lambda device: None)
    alive = []

    def turns(functions, repeats, **options):
        alive.append(bad_ref())
        return measure.take_turns(functions, repeats, **options)

    monkeypatch.setattr(scaling, "take_turns", turns)
    cells = {(value, "a.py"): replace(BASE, repeats=4, warmup=warmup) for value in (2, 4)}
    assert scaling.step_seconds(cells, "title").keys() == {(2, "a.py")}
    assert good.calls == max(2, warmup) + 4
    assert alive == [None]


ALLOCATION = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you"


@pytest.mark.parametrize(
    ("owner", "name"), [(suite, "make_batch"), (models.MODELS, "build"), (models, "laid_out")]
)
def test_steps_that_can_not_be_prepared_are_left_out(monkeypatch, owner, name):
    """Models, batches and copies of batches for which memory does not suffice."""
    plain, calls = getattr(owner, name), []

    def second_fails(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError(ALLOCATION)
        return plain(*args, **kwargs)

    small = replace(BASE, size=(64, 64), segments=3, label_classes=10, num_classes=10)
    cells = {(q, OURS): scaling.at(small, "queries", q) for q in (5, 6, 7)}
    models.register("mmseg")
    monkeypatch.setattr(owner, name, second_fails)
    if owner is models.MODELS:  # what it calls builds the parts by the same name
        monkeypatch.setattr(models, "MODELS", SimpleNamespace(build=second_fails))
        monkeypatch.setattr(owner, name, plain)
    assert scaling.prepare_steps(cells).keys() == {(5, OURS), (7, OURS)}


def test_peaks_are_measured_with_limited_memory(monkeypatch):
    calls = []

    def peak(*args):
        calls.append(args)
        raise RuntimeError(ALLOCATION)

    monkeypatch.setattr(scaling, "limit_memory", calls.append)
    monkeypatch.setattr(suite, "peak_memory_mb", peak)
    with pytest.raises(MemoryError, match=r"^config a.py: RuntimeError: .*can't allocate memory"):
        scaling.limited_peak_mb("a.py", BASE)
    assert calls == ["cpu", ("train", "a.py", BASE)]


def test_times_that_memory_does_not_suffice_for(monkeypatch):
    """The measured peaks, and the other factors, are not lost."""
    made_up(monkeypatch, 1e9)
    plain = scaling.in_fresh_process

    def fresh(function, *args):
        if function is scaling.step_seconds and args[1] == "batch: time":
            raise MemoryError
        return plain(function, *args)

    monkeypatch.setattr(scaling, "in_fresh_process", fresh)
    rows = scaling.measure(["a.py"], BASE, {"batch": [1, 2], "segments": [10]})
    assert [r["train_step_s"] for r in rows] == [None, None, 2]
    assert [r["train_memory_mb"] for r in rows] == [512, 1024, 1024]
