"""Processes of one thread each that train together on a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import connection, get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from . import models, suite
from .measure import end_with_parent, take_turns


class Losses(nn.Module):
    """The sum of a model's losses as a forward pass, for DistributedDataParallel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images, samples):
        return self.model.parse_losses(self.model.loss(images, samples))[0]


def share(batch: Sequence, rank: int, size: int) -> Sequence:
    """A process's part of a batch."""
    return batch[rank::size]


def prepare(rank: int, size: int, config: str, settings: suite.Settings):
    """A training step on this process's share of the batch."""
    cfg = settings.load(config)
    model = models.build(cfg, "cpu").train()
    optimizer = models.build_optimizer(model, cfg, settings.amp, "cpu")
    images, samples = (share(part, rank, size) for part in settings.make_batch(settings.batch, cfg))
    images = models.laid_out(model, images)
    losses = Losses(model)
    if size > 1:
        losses = DistributedDataParallel(losses, broadcast_buffers=False)

    def step() -> None:
        with models.precision(settings.amp, "cpu"):
            loss = losses(images, samples)
        optimizer.update_params(loss)

    return step


def work(rank: int, size: int, store: str, pipe, config: str, settings: suite.Settings) -> None:
    """What a process does: a step whenever it is told to; the pipe gets None or an error."""
    end_with_parent()
    torch.set_num_threads(1)
    try:
        if size > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{store}", rank=rank, world_size=size
            )
        step = prepare(rank, size, config, settings)
        pipe.send(None)
        while pipe.recv():
            step()
            pipe.send(None)
    except Exception as error:
        pipe.send(f"config {config}, process {rank}: {models.first_line(error)}")


def check_share(batch: int, size: int) -> None:
    """Raise ValueError unless the processes can share the batch equally."""
    if batch % size:
        raise ValueError(f"the batch must be a multiple of the processes, got {batch} and {size}")


class Team:
    """Processes that train a config on one batch, and wait between the steps.

    Raises:
        ValueError: the batch can not be shared equally, or a process failed.
    """

    def __init__(self, size: int, config: str, settings: suite.Settings) -> None:
        check_share(settings.batch, size)
        self.folder = TemporaryDirectory()
        context, self.pipes, self.processes = get_context("spawn"), [], []
        for rank in range(size):
            mine, theirs = context.Pipe()
            store = str(Path(self.folder.name) / "store")
            arguments = rank, size, store, theirs, config, settings
            self.pipes.append(mine)
            self.processes.append(context.Process(target=work, args=arguments, daemon=True))
            self.processes[-1].start()
            theirs.close()

    def __enter__(self) -> Team:
        self.wait()
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            process.terminate()
            process.join()
        self.folder.cleanup()

    def step(self) -> None:
        """One training step of all processes."""
        for pipe in self.pipes:
            pipe.send(True)
        self.wait()

    def wait(self) -> None:
        waiting = list(self.pipes)
        while waiting:
            for pipe in connection.wait(waiting):
                waiting.remove(pipe)
                try:
                    problem = pipe.recv()
                except EOFError:
                    problem = "a process was killed, perhaps for want of memory"
                if problem:
                    self.__exit__()
                    raise ValueError(problem)


def measure(config: str, settings: suite.Settings, sizes: Sequence[int]) -> list[dict]:
    """Images a second of teams that take turns on the same batch; see `records`."""
    settings = replace(settings, device="cpu")
    with ExitStack() as stack:
        teams = {size: stack.enter_context(Team(size, config, settings)) for size in sizes}
        steps = {size: team.step for size, team in teams.items()}
        turns = settings.repeats, settings.warmup
        times = take_turns(steps, *turns, title=f"{'/'.join(map(str, sizes))} processes")
    return records(times, settings.batch)


def records(times: Mapping[int, float], batch: int) -> list[dict]:
    """A record per number of processes; `efficiency` is the speed over that of the fewest, per
    process.

    Args:
        times: {processes: seconds of a step on the same `batch` images}.
    """
    fewest = min(times)
    return [
        dict(
            processes=size,
            images_per_s=batch / time,
            efficiency=times[fewest] * fewest / (time * size),
        )
        for size, time in sorted(times.items())
    ]


def table(found: Sequence[Mapping]) -> tuple[list[str], list[list[str]]]:
    """Header and rows."""
    rows = [
        [str(r["processes"]), f"{r['images_per_s']:.3f}", f"{100 * r['efficiency']:.1f} %"]
        for r in found
    ]
    return ["processes", "images / s", "efficiency"], rows
