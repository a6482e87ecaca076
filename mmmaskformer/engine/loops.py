"""A training loop whose random numbers depend on the seed and the iteration, and on nothing else.

Iteration i of a run draws the same samples, augmentations and dropout masks whether the run came
from iteration 0 or was resumed, with any number of worker processes: the generators are seeded
anew for each batch and each step, so there is no state to save and none that a validation, a
prefetched batch or a killed worker could change.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.logging import MMLogger
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import loops
from torch.utils.data import DataLoader

from ..registry import LOOPS
from .cpu import naming_what_it_waits_for

BATCH, STEP = 0, 1
"""What draws: the loading of an iteration's batch, or its training step."""
SEED = "mmmaskformer_seed"
"""Where mmengine's message hub, and so a checkpoint, keeps the seed of the order of samples."""


def seed_of(*key: int) -> int:
    """One seed of 32 bits for a tuple of non-negative numbers."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def seed_generators(seed: int) -> None:
    """Seed the global generators of python, numpy and torch, those of the GPUs among them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class SeededBatch(list):
    """Indices of samples, and the `seed` that is set before they are loaded."""

    seed: int


def load_seeded(dataset: Any, load_batch: Callable | None, batch: SeededBatch) -> list:
    """The samples of a batch; `load_batch` is the dataset's own `__getitems__`, if it has one."""
    if isinstance(batch, SeededBatch):
        seed_generators(batch.seed)
    return load_batch(batch) if load_batch else [dataset[index] for index in batch]


def load_batches_seeded(dataset: Any) -> None:
    """Let a dataset set a batch's seed before torch's loader has it load the batch."""
    own = getattr(dataset, "__getitems__", None)
    if getattr(own, "func", None) is not load_seeded:  # another loop may have been here
        dataset.__getitems__ = partial(load_seeded, dataset, own)


class SeededBatches:
    """A batch sampler around another one: counts its batches, and gives each one a seed."""

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches = batches
        self.seed = seed
        self.number = 0
        self.rest: Iterator | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "batches":  # not there yet, while a copy is made
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[SeededBatch]:
        batches, self.rest = self.rest or iter(self.batches), None
        for indices in batches:
            batch = SeededBatch(indices)
            batch.seed = seed_of(self.seed, get_rank(), self.number, BATCH)
            self.number += 1
            yield batch

    def restart(self, sampler: Any, seed: int, count: int) -> int:
        """Begin again with a new sampler, after `count` batches, which nobody loads.

        Returns how often the data came to an end in these batches.
        """
        self.seed, self.number, epoch = seed, count, 0
        self.batches.sampler = sampler
        self.rest = iter(self.batches)
        empty = False
        while count:
            if next(self.rest, None) is not None:
                count, empty = count - 1, False
                continue
            if empty:
                raise ValueError("the training data has no batch: batch_size is larger than it")
            empty = True
            epoch += 1
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
            self.rest = iter(self.batches)
        return epoch


@contextmanager
def rewording(done: int) -> Iterator[None]:
    """Let the log tell what a resumed run does; mmengine's loop says that it skips its batches
    one by one, which takes time where somebody loads them."""

    def reword(record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Advance dataloader"):
            record.msg = (
                f"training goes on with iteration {done + 1}; the data that the {done} before it "
                "were trained on is not loaded again"
            )
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True

    logger = MMLogger.get_current_instance()
    logger.addFilter(reword)
    try:
        yield
    finally:
        logger.removeFilter(reword)


@LOOPS.register_module()
class IterBasedTrainLoop(loops.IterBasedTrainLoop):
    """mmengine's, which goes on after a resume as if it had never stopped.

    It does not load the batches that the resumed run had trained on.

    Args:
        dataloader: a config of a loader, or a loader, which must have a batch sampler.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        runner.call_hook("choose_checkpoint")  # of our CheckpointHook
        self.sampler_cfg = None
        if isinstance(dataloader, dict):
            self.sampler_cfg = dataloader["sampler"]
            differ = runner._randomness_cfg.get("diff_rank_seed", False)
            dataloader = runner.build_dataloader(
                dataloader, seed=runner.seed, diff_rank_seed=differ
            )
        # All processes have the sampler's seed in common, and with diff_rank_seed no other.
        self.seed = getattr(dataloader.sampler, "seed", runner.seed)
        load_batches_seeded(dataloader.dataset)
        # torch forbids a new batch sampler, and a second loader would not know `sampler` and
        # `batch_size`, which mmengine's hooks ask for.
        seeded = SeededBatches(dataloader.batch_sampler, self.seed)
        object.__setattr__(dataloader, "batch_sampler", seeded)
        super().__init__(runner, dataloader, max_iters, val_begin, val_interval, dynamic_intervals)

    def run(self):
        """Train until `max_iters`, validating in between; returns the model."""
        hub = self.runner.message_hub
        if self._iter and isinstance(self.sampler_cfg, dict):
            self.seed = hub.get_info(SEED, self.runner.seed)
            self.dataloader_iterator = self.remaining_batches(type(self.dataloader_iterator))
        hub.update_info(SEED, self.seed)
        waits = naming_what_it_waits_for(lambda: f"iteration {self._iter + 1}")
        with waits, rewording(self._iter):
            return super().run()

    def run_iter(self, data_batch: Any) -> None:
        seed_generators(seed_of(self.seed, get_rank(), self._iter, STEP))
        super().run_iter(data_batch)

    def remaining_batches(self, endless: type) -> Iterator:
        """None for each batch that is done, which mmengine's loop asks for, then the others.

        Args:
            endless: mmengine's iterator, which begins again at the end of the data.
        """
        done, loader = self._iter, self.dataloader
        yield from repeat(None, done)
        # A new sampler: the first one was made before the checkpoint told the seed, and workers
        # may have asked it for batches.
        settings = dict(dataset=loader.dataset, seed=self.seed)
        sampler = DATA_SAMPLERS.build(self.sampler_cfg, default_args=settings)
        object.__setattr__(loader, "sampler", sampler)
        epoch = loader.batch_sampler.restart(sampler, self.seed, done)
        batches = endless(loader)
        batches._epoch = epoch
        yield from batches
