"""Moments at which a training is killed, and what is compared afterwards."""

import os
import signal

import torch
from mmengine.hooks import Hook

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.engine import checkpointing
from tests.engine.runs import losses

SEED = {"randomness": dict(seed=5)}
KILLED = -signal.SIGKILL


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class DoIn(Hook):
    """Does something at the end of an iteration, before anything else happens."""

    priority = "VERY_HIGH"

    def __init__(self, iteration, action):
        self.iteration, self.action = iteration, action

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.iteration:
            self.action()


def do_in(iteration, action, ranks=(0, 1)):
    def prepare(runner, rank):
        if rank in ranks:
            runner.register_hook(DoIn(iteration, action))

    return prepare


def kill_in(iteration):
    return do_in(iteration, die)


def kill_in_write(number):
    """Kill in the middle of the `number`-th checkpoint of a run: half of the file is there."""

    def prepare(runner, rank):
        fsync, calls = os.fsync, []

        def trap(file):
            calls.append(file)
            if len(calls) == 2 * number - 1:  # each second one is of the folder
                os.ftruncate(file, os.fstat(file).st_size // 2)
                die()
            fsync(file)

        checkpointing.os.fsync = trap

    return prepare


def kill_before_removal(runner, rank):
    """Kill when the next checkpoint has its name and the old one is still there."""
    backend = checkpointing.WholeFiles
    backend.remove = lambda self, path: die()


def kill_in_validation(runner, rank):
    runner.register_hook(type("Kill", (Hook,), dict(after_val_iter=lambda *a, **k: die()))())


def checkpoints(work_dir):
    return sorted(path.name for path in work_dir.glob("*.pth"))


def final_weights(work_dir):
    return load_checkpoint_file(str(work_dir / "iter_12.pth"))["state_dict"]


def check_equal(work_dir, whole, rank=0):
    """All losses, also those that were computed twice, and the weights at the end."""
    assert losses(work_dir, rank) == losses(whole, rank)
    assert sorted(losses(work_dir, rank)) == list(range(1, 13))
    for name, weight in final_weights(whole).items():
        assert torch.equal(final_weights(work_dir)[name], weight), name
