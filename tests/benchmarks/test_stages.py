"""The clock of stages, with a clock that only the test moves."""

import gc
import time
import weakref

import pytest
import torch
from torch import nn

from benchmarks.kit.stages import (
    REST,
    Probe,
    StageClock,
    Step,
    Turn,
    instrumented,
    profile,
    summarize,
)


class Hand:
    """A clock moved by hand."""

    time = 0

    def move(self, units):
        self.time += units


@pytest.fixture
def hand():
    return Hand()


@pytest.fixture
def clock(hand):
    return StageClock(lambda: hand.time)


def test_time_belongs_to_the_innermost_stage(clock, hand):
    hand.move(1000)
    with clock.step():
        hand.move(1)
        with clock.stage("outer"):
            hand.move(2)
            with clock.stage("inner"):
                hand.move(4)
                with clock.stage("outer"):
                    hand.move(8)
                hand.move(16)
            hand.move(32)
        hand.move(64)
        with clock.stage("inner"):
            hand.move(128)
    hand.move(1000)
    assert clock.spent == {REST: 1 + 64, "outer": 2 + 8 + 32, "inner": 4 + 16 + 128}
    assert clock.whole == 255


def test_every_step_starts_anew(clock, hand):
    for units in (3, 5):
        with clock.step(), clock.stage("a"):
            hand.move(units)
        assert clock.spent == {REST: 0, "a": units}
        assert clock.whole == units


def test_a_stage_becomes_another_until_it_ends(clock, hand):
    with clock.step():
        clock.become("nothing is open")
        with clock.stage("a"), clock.stage("b"):
            hand.move(1)
            clock.become("c")
            hand.move(2)
            with clock.stage("d"):
                hand.move(4)
            hand.move(8)
        hand.move(16)
    assert clock.spent == {REST: 16, "a": 0, "b": 1, "c": 10, "d": 4}


def test_stages_outside_of_a_step_are_not_timed(clock, hand):
    with clock.stage("a"):
        hand.move(1)
        clock.become("b")
        assert clock.current is None
    assert clock.spent == {}
    assert clock.whole == 0


def test_errors_end_their_stages(clock, hand):

    def fail(units):
        hand.move(units)
        raise KeyError

    with clock.step():
        with pytest.raises(KeyError), clock.stage("a"), clock.stage("b"):
            fail(1)
        hand.move(2)
    assert clock.spent == {REST: 2, "a": 0, "b": 1}
    with pytest.raises(KeyError), clock.step(), clock.stage("a"):
        fail(4)
    assert clock.spent == {REST: 0, "a": 4}
    assert clock.whole == 4
    with clock.step(), pytest.raises(RuntimeError, match="has not ended"), clock.step():
        pass
    assert clock.current is None


def test_the_device_is_waited_for_before_every_reading():
    """Work of 10 that is only done when somebody waits for it."""
    hand, queued = Hand(), []

    def wait():
        hand.move(sum(queued))
        queued.clear()

    clock = StageClock(lambda: hand.time, wait)
    queued.append(10)
    with clock.step():
        with clock.stage("a"):
            queued.append(10)
        with clock.stage("b"):
            clock.become("c")
            queued.append(10)
    assert clock.spent == {REST: 0, "a": 10, "b": 0, "c": 10}


def moving(hand, forward, backward):
    """A function of a tensor, that takes a time forward and another backward."""

    class Moving(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            hand.move(forward)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            hand.move(backward)
            return grad * 2

    return Moving.apply


class Body(nn.Module):
    """Two levels; the second one is made of the first."""

    def __init__(self, hand):
        super().__init__()
        self.first, self.second = moving(hand, 1, 10), moving(hand, 2, 20)

    def forward(self, x):
        fine = self.first(x)
        return {"levels": [fine, self.second(fine)]}


class Neck(nn.Module):
    """Works on both levels, and hands one of them through."""

    def __init__(self, hand):
        super().__init__()
        self.steps = [moving(hand, 4, 40), moving(hand, 8, 80)]

    def forward(self, levels):
        fine, coarse = levels
        return self.steps[1](self.steps[0](coarse) + fine), coarse


def test_backward_is_split_at_what_modules_made(clock, hand):
    body, neck = Body(hand), Neck(hand)
    head, loss = moving(hand, 16, 160), moving(hand, 32, 320)
    probes = [
        Probe(body, "forward", "body", "body backward"),
        Probe(neck, "forward", "neck", "neck backward"),
    ]
    x = torch.ones(3, requires_grad=True)
    for _ in range(2):
        x.grad = None
        with instrumented(clock, probes), clock.step():
            pixels, memory = neck(body(x)["levels"])
            total = loss(head(memory) + pixels).sum()
            with clock.stage("backward"):
                total.backward()
        # Through the loss 2, the head 2 and second 2, plus the neck's 2 * (2 * second 2 + 1).
        assert x.grad.tolist() == [2 * 2 * (2 * 2 + 2 * (2 * 2 + 1))] * 3
        assert clock.spent == {
            REST: 16 + 32,
            "body": 1 + 2,
            "neck": 4 + 8,
            "backward": 320 + 160,
            "neck backward": 80 + 40,
            "body backward": 20 + 10,
        }
        assert clock.whole == 63 + 630
    assert "forward" not in vars(body)


def test_a_step_leaves_its_graph_to_be_freed(clock, hand):
    body = Body(hand)
    with instrumented(clock, [Probe(body, "forward", "body", "backward")]), clock.step():
        made = body(torch.ones(3, requires_grad=True))
    node = weakref.ref(made["levels"][1].grad_fn)
    assert node() is not None
    del made
    gc.collect()
    assert node() is None


class Tools:
    def make(self, clock, hand):
        hand.move(1)
        return self.copy(hand)

    def copy(self, hand):
        hand.move(2)
        return "copied"


def test_probes_within_a_stage_and_what_comes_after(clock, hand):
    tools = Tools()
    probes = [
        Probe(tools, "make", "make"),
        Probe(Tools, "copy", "copy", within="make", then="after"),
    ]
    with instrumented(clock, probes), clock.step():
        assert tools.copy(hand) == "copied"
        with clock.stage("other"):
            tools.copy(hand)
        assert tools.make(clock, hand) == "copied"
        clock.become("nothing is open")
    assert clock.spent == {REST: 2, "other": 2, "make": 1, "copy": 2, "after": 0}


def test_probes_are_taken_away(clock):
    own = Tools()
    own.copy = before = lambda hand: None
    method = vars(Tools)["copy"]
    probes = [
        Probe(own, "copy", "a"),
        Probe(own, "make", "a"),
        Probe(own, "make", "b"),
        Probe(Tools, "copy", "a"),
        Probe(torch.Tensor, "cpu", "a"),
    ]

    def check_and_fail():
        assert own.copy is not before
        assert vars(Tools)["copy"] is not method
        assert "cpu" in vars(torch.Tensor)
        raise KeyError

    with pytest.raises(KeyError), instrumented(clock, probes):
        check_and_fail()
    assert vars(own) == {"copy": before}
    assert vars(Tools)["copy"] is method
    assert "cpu" not in vars(torch.Tensor)
    with pytest.raises(AttributeError), instrumented(clock, [*probes, Probe(own, "none", "a")]):
        pass
    assert vars(own) == {"copy": before}


def test_steps_take_turns(monkeypatch):
    """Every call takes a unit longer than the one before; warm-up, settling, and then clocked and
    plain, in the next round plain and clocked."""
    hand, calls = Hand(), []
    monkeypatch.setattr(time, "perf_counter", lambda: hand.time * 1e-9)
    clock = StageClock(lambda: hand.time)
    worker = Tools()

    def run(name):
        calls.append(name)
        hand.move(len(calls))
        worker.copy(hand)

    steps = {n: Step(lambda n=n: run(n), [Probe(worker, "copy", "copy")]) for n in "ab"}
    turns = profile(steps, 2, 1, clock)
    assert "".join(calls) == "ab" + "aaabbb" * 2
    assert turns == {
        name: [Turn({REST: n, "copy": 2}, n + 2, plain + 2) for n, plain in pairs]
        for name, pairs in (("a", [(4, 5), (11, 10)]), ("b", [(7, 8), (14, 13)]))
    }


@pytest.mark.parametrize(("repeats", "warmup"), [(0, 0), (1, -1)])
def test_numbers_of_rounds_are_checked(repeats, warmup):
    with pytest.raises(ValueError, match=f"got {repeats} and {warmup}"):
        profile({}, repeats, warmup, StageClock())


MS = 10**6


def test_medians_and_what_they_leave():
    turns = [
        Turn({"a": 1 * MS, "b": 7 * MS, REST: 2 * MS}, 10 * MS, 30 * MS),
        Turn({"a": 4 * MS, "b": 5 * MS, REST: 3 * MS}, 12 * MS, 10 * MS),
        Turn({"a": 2 * MS, REST: 9 * MS}, 11 * MS, 20 * MS),
    ]
    assert summarize(turns, ("b", "a", "c")) == {
        "stages": {"b": 5, "a": 2, "c": 0},
        REST: 11 - 7,
        "whole": 11,
        "plain": 20,
    }
    with pytest.raises(ValueError, match="nobody asked for: b"):
        summarize(turns, ("a",))
