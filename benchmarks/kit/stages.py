"""A clock for the stages of a step, and how functions and backward passes become stages.

Every moment of a step belongs to exactly one stage, the innermost that is open, or to `REST`;
so the stages and the rest add up to the step, to the nanosecond.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, is_dataclass

from rich.progress import track
from torch import Tensor

from .measure import seconds

REST = "rest"
"""The time of a step outside of all stages."""


class StageClock:
    """Exclusive times of nested stages.

    Args:
        now: a clock in integers, which add up without rounding.
        synchronize: called before every reading: waits for the device's work.

    Attributes:
        spent: stage -> units of `now`, of the step that ended last.
        whole: the same of all of that step, from its first reading to its last.
    """

    def __init__(
        self,
        now: Callable[[], int] = time.perf_counter_ns,
        synchronize: Callable[[], object] | None = None,
    ) -> None:
        self.now = now
        self.synchronize = synchronize
        self.spent: dict[str, int] = {}
        self.whole = 0
        self._open: list[str] = []
        self._last = 0
        self._marked: set = set()

    @property
    def current(self) -> str | None:
        """The innermost open stage; None outside of a step."""
        return self._open[-1] if self._open else None

    @contextmanager
    def step(self) -> Iterator[None]:
        """What is timed; stages outside of it are not."""
        if self._open:
            raise RuntimeError("the step before has not ended")
        self.spent = {}
        start = self._last = self._read()
        self._open.append(REST)
        try:
            yield
        finally:
            self._charge()
            self.whole = self._last - start
            self._open.clear()
            self._marked.clear()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The time until the end is this stage's, unless stages within it take their part."""
        if not self._open:
            yield
            return
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def become(self, name: str) -> None:
        """From here to its end, the innermost open stage is another one; the rest stays."""
        if len(self._open) > 1:
            self._charge()
            self._open[-1] = name

    def mark(self, output, name: str) -> None:
        """Let the stage that runs backward become `name` when backward reaches what made
        `output`, tensors nested at will.

        Autograd works through what was made in order, last made first; so from the first of a
        module's outputs to the first output of what ran before it, all is the module's. A tensor
        that the module handed through keeps the mark of what made it.
        """
        for tensor in tensors_in(output):
            node = tensor.grad_fn
            if node is not None and node not in self._marked:
                self._marked.add(node)
                node.register_prehook(lambda _: self.become(name))

    def _read(self) -> int:
        if self.synchronize:
            self.synchronize()
        return self.now()

    def _charge(self) -> None:
        """The time since the last reading was the innermost stage's."""
        now = self._read()
        self.spent[self._open[-1]] = self.spent.get(self._open[-1], 0) + now - self._last
        self._last = now


def tensors_in(value) -> Iterator[Tensor]:
    """All tensors of nested containers and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from tensors_in(entry)
    elif is_dataclass(value):
        yield from tensors_in(vars(value))


@dataclass(frozen=True)
class Probe:
    """A function whose calls are a stage.

    Attributes:
        owner, name: the function is this attribute of an object, a class or a module. That of a
            torch module that is called is `forward`.
        stage: what its calls are.
        backward: what the backward pass through it is.
        then: what the stage around it is after a call.
        within: only calls directly in this stage count; None: all.
    """

    owner: object
    name: str
    stage: str
    backward: str | None = None
    then: str | None = None
    within: str | None = None


@contextmanager
def instrumented(clock: StageClock, probes: Sequence[Probe]) -> Iterator[None]:
    """Put a clock around the functions of all probes, and take it away again."""
    with ExitStack() as undo:
        for probe in probes:
            own = vars(probe.owner)
            if probe.name in own:
                undo.callback(setattr, probe.owner, probe.name, own[probe.name])
            else:
                undo.callback(delattr, probe.owner, probe.name)
            setattr(probe.owner, probe.name, timed(clock, probe, getattr(probe.owner, probe.name)))
        yield


def timed(clock: StageClock, probe: Probe, function: Callable) -> Callable:
    """The function with a clock around it."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if probe.within not in (None, clock.current):
            return function(*args, **kwargs)
        with clock.stage(probe.stage):
            result = function(*args, **kwargs)
        if probe.backward:
            clock.mark(result, probe.backward)
        if probe.then:
            clock.become(probe.then)
        return result

    return call


@dataclass(frozen=True)
class Step:
    """A training step or inference, and its stages."""

    run: Callable[[], object]
    probes: Sequence[Probe]


@dataclass(frozen=True)
class Turn:
    """One step with and one without clocks within, in nanoseconds.

    Attributes:
        spent: stage -> time; with `REST` it adds up to `whole`.
        plain: the same step without clocks within.
    """

    spent: dict[str, int]
    whole: int
    plain: int


def profile(
    steps: Mapping[str, Step],
    repeats: int,
    warmup: int,
    clock: StageClock,
    *,
    device: str = "cpu",
    title: str = "",
) -> dict[str, list[Turn]]:
    """`repeats` turns of every step, in rounds in which each has its turn, so that drift of the
    machine hits all alike.

    A turn begins with a step that is not timed: the others have taken caches and heap. Of the two
    that are, the one with clocks within comes first in every second turn.

    Args:
        warmup: rounds before, of one step each.
        title: of the progress bar.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be >= 1 and warmup >= 0, got {repeats} and {warmup}")
    turns: dict[str, list[Turn]] = {name: [] for name in steps}
    for index in track(range(warmup + repeats), title, transient=True):
        for name, step in steps.items():
            step.run()
            if index < warmup:
                continue
            for clocked in (True, False) if index % 2 else (False, True):
                if clocked:
                    with instrumented(clock, step.probes), clock.step():
                        step.run()
                else:
                    plain = round(seconds(step.run, device) * 1e9)
            turns[name].append(Turn(clock.spent, clock.whole, plain))
    return turns


def summarize(turns: Sequence[Turn], stages: Sequence[str]) -> dict:
    """Medians in milliseconds: `stages`, `rest`, `whole` and `plain` (see `Turn`).

    The rest is what the stages leave of the whole. Of one turn it is exact; over several, the
    medians of the stages may be of different turns, and it may even be a little negative.
    """

    def median_ms(values) -> float:
        return statistics.median(values) / 1e6

    unknown = {name for turn in turns for name in turn.spent} - {REST, *stages}
    if unknown:
        raise ValueError(f"stages that nobody asked for: {', '.join(sorted(unknown))}")
    medians = {name: median_ms(turn.spent.get(name, 0) for turn in turns) for name in stages}
    whole = median_ms(turn.whole for turn in turns)
    return {
        "stages": medians,
        REST: whole - sum(medians.values()),
        "whole": whole,
        "plain": median_ms(turn.plain for turn in turns),
    }
