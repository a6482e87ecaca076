"""Clocks and memory: functions that take turns, peaks of fresh processes."""

from __future__ import annotations

import os
import platform
import re
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context, parent_process
from pathlib import Path

import torch
from rich.progress import track


def seconds(function: Callable[[], object], device: str = "cpu") -> float:
    """Wall-clock seconds of one call, to the end of the device's work."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    warmup: int = 0,
    *,
    device: str = "cpu",
    settle: bool = True,
    title: str | None = None,
) -> dict[str, float]:
    """Median seconds of every function over `repeats` rounds in which each has its turn, so
    that drift of the machine hits all alike.

    Args:
        warmup: rounds before, without a clock.
        settle: whether each turn begins with a call without a clock: the other functions have
            taken caches and heap, which a function that is called in a row would find.
        title: of a progress bar; None: no bar.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be >= 1 and warmup >= 0, got {repeats} and {warmup}")
    for _ in range(warmup):
        for function in functions.values():
            function()
    taken = {name: [] for name in functions}
    rounds = range(repeats)
    for _ in track(rounds, title, transient=True) if title else rounds:
        for name, function in functions.items():
            if settle:
                function()
            taken[name].append(seconds(function, device))
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_growth_mb(function: Callable[[], object], device: str = "cpu") -> float:
    """How far a call lifts the peak of memory over what was taken before it, in MiB: of the
    device's allocator, or of this process, whose allocator may keep what earlier calls freed:
    only its first large call can be measured."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with suppress(OSError):  # not permitted everywhere
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = resident_mb("VmRSS")
    function()
    return resident_mb("VmHWM") - before


def resident_mb(field: str) -> float:
    """A field of the kernel's report on this process, in MiB: VmRSS is now, VmHWM the peak."""
    return kernel_mb("/proc/self/status", field)


def kernel_mb(file: str, field: str) -> float:
    if not Path(file).is_file():
        raise OSError(f"memory of a process can be measured on Linux only: no {file}")
    (line,) = (text for text in Path(file).read_text().splitlines() if text.startswith(field))
    return int(line.split()[1]) / 1024


def limit_memory(device: str = "cpu") -> None:
    """Let this process fail, and not the system choose a process to kill, where it wants more
    than nine tenths of what is available now; on a GPU the allocator does so by itself."""
    if device == "cpu":
        import resource  # not on Windows

        limit = resident_mb("VmData") + 0.9 * kernel_mb("/proc/meminfo", "MemAvailable")
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit) << 20, hard))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that memory did not suffice; torch has no type
    for it on a CPU, and oneDNN does not give the reason."""
    text = r"allocate memory|could not (create|execute) a primitive(?! descriptor)"
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    known = known or re.search(text, str(error)) is not None
    return known or (error.__cause__ is not None and ran_out_of_memory(error.__cause__))


def end_with_parent() -> None:
    """Let this process end when its parent does, be it killed: nobody else would end it."""

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def in_fresh_process(function: Callable, *args):
    """What a module's function returns in a new process, where nothing was allocated before.

    Raises:
        MemoryError: the process was killed. What the function raises is raised here, too.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool as error:
            raise MemoryError(
                f"the process of {function.__name__} was killed, perhaps for want of memory"
            ) from error


def machine(device: str) -> str:
    """The processor that numbers were measured on, with its number of threads on a CPU."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = names[0].split(":")[1].strip() if names else name
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"
