"""Checkpoints that survive a kill, and that every reader of plain data takes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine import hooks
from mmengine.dist import is_main_process
from mmengine.fileio import register_backend
from mmengine.fileio.backends import LocalBackend
from mmengine.logging import HistoryBuffer
from mmengine.runner import BaseLoop

from ..checkpoints.checksum import KEY, stamp
from ..checkpoints.plain import plain
from ..registry import HOOKS
from ..utils.files import replacing
from ..utils.locks import hold, release
from ..utils.text import listing
from .fused import compute_as
from .hook_states import restore_hooks, state_of, stateful
from .merged_groups import merge_saved_groups
from .resuming import (
    OPTIMIZER,
    names_of_optimizers,
    newest_whole,
    on_main_process,
    optimizers_of,
    other_optimizer,
    remove_half_written,
    remove_replaced,
    set_aside,
    what_lacks,
)

LOCK = ".training.lock"
VALIDATED = "mmmaskformer_validated"
"""Where the message hub keeps the iteration or epoch of the last validation."""
REMOVING = "mmmaskformer_removing"
"""Where it keeps the names of the files that are removed when a checkpoint has been written."""


@register_backend("local", force=True, prefixes="")
class WholeFiles(LocalBackend):
    """mmengine's local files, each of which is on the disk as a whole or not there."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write to another name, wait until the disk has it, and rename."""
        path = Path(os.path.realpath(filepath))  # what a link names, not the link
        if path.exists() and not path.is_file():
            super().put(obj, filepath)  # a device, for instance
            return
        try:
            with replacing(path) as work, open(work, "wb") as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # of a full disk, for instance, which names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name, too
            finally:
                os.close(folder)


@HOOKS.register_module()
class CheckpointHook(hooks.CheckpointHook):
    """mmengine's hook; a run that is killed at any moment can be resumed from what it leaves.

    An old checkpoint is removed after the next one has been written. A resumed run finds the
    newest whole checkpoint by itself. A run that starts anew moves the checkpoints of an earlier
    one aside. No two runs write in one folder. Checkpoints are plain data with a checksum.
    """

    chosen = False

    def before_run(self, runner) -> None:
        """Choose the checkpoint now, if the loop has not asked for that yet."""
        if isinstance(runner._train_loop, BaseLoop):  # otherwise it is a test
            self.choose_checkpoint(runner)

    def choose_checkpoint(self, runner) -> None:
        """Lock the folder, and find what `--resume` without a file resumes from.

        The training loop calls this when it is made, since mmengine's FlexibleRunner loads the
        checkpoint before it calls any hook.

        Raises:
            RuntimeError, ValueError: another run uses the folder; no checkpoint in it is whole.
        """
        folder = self.folder_of(runner)
        if self.chosen or folder is None:
            return
        self.chosen = True
        on_main_process(hold, folder, LOCK)
        if runner._resume is not True or runner._load_from is not None:
            return
        args = (folder, self.filename_tmpl, self.wanted, runner.logger.warning)
        path = on_main_process(newest_whole, *args)
        if path is not None:
            runner.logger.info(f"resuming from {path}, the newest whole checkpoint")
            runner._load_from = str(path)
        else:
            runner._resume = False
            runner._load_from = runner.cfg.get("load_from_without_checkpoint")
            runner.logger.info(f"{folder} has no checkpoint: training starts at the beginning")

    def after_run(self, runner) -> None:
        folder = self.folder_of(runner)
        if folder is not None:
            release(folder, LOCK)

    @property
    def wanted(self) -> tuple[str, ...]:
        """What a checkpoint of this hook has beside weights and meta data."""
        parts = dict(optimizer=self.save_optimizer, param_schedulers=self.save_param_scheduler)
        return tuple(name for name, saved in parts.items() if saved)

    def folder_of(self, runner) -> Path | None:
        """Where checkpoints are written; None if that is not on this machine's file system."""
        work_dir = Path(runner.work_dir)
        if self.out_dir is None or "://" in str(self.out_dir):
            return work_dir if self.out_dir is None else None
        out_dir = Path(self.out_dir)
        ours = hasattr(self, "file_backend") or out_dir == work_dir  # mmengine has joined them
        return out_dir if ours else out_dir / work_dir.name

    def before_train(self, runner) -> None:
        folder = self.folder_of(runner)
        if folder is not None:
            for key, value in list(runner.message_hub.runtime_info.items()):
                if key == "last_ckpt" or (key.startswith("best_ckpt") and value):
                    # The folder may be a copy of the one that the checkpoint was written in.
                    runner.message_hub.update_info(key, str(folder / Path(value).name))
        super().before_train(runner)
        runner.register_hook(Seal(), priority="LOWEST")  # behind all that the config names
        if runner.iter >= runner.max_iters:
            runner.logger.warning(
                f"nothing is left to train: the checkpoint has {runner.iter} iterations, and "
                f"max_iters is {runner.max_iters}"
            )
        if folder is not None and folder.is_dir():
            on_main_process(self.tidy, runner, folder)
        runner.message_hub.update_info(REMOVING, [])

        restore_hooks(runner)
        count = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        if not self.by_epoch and self.interval > 0 and self.interval % count:
            runner.logger.warning(
                f"checkpoint.interval={self.interval} is no multiple of accumulative_counts="
                f"{count}: a resumed run lacks the gradients that were being summed"
            )

    def before_train_epoch(self, runner) -> None:
        """Validate a resumed run's checkpoint, if it was written just before that was due.

        What depends on validations (the best checkpoint, schedules, early stopping) then depends
        on the same ones as without the interruption.
        """
        loop = runner.train_loop
        if self.by_epoch or runner.val_loop is None or not runner._resume or not loop.iter:
            return
        loop._decide_current_val_interval()
        due = loop.iter % loop.val_interval == 0 or loop.iter == loop.max_iters
        if due and loop.val_begin <= loop.iter != runner.message_hub.get_info(VALIDATED):
            runner.val_loop.run()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        runner.message_hub.update_info(VALIDATED, runner.epoch if self.by_epoch else runner.iter)
        super().after_val_epoch(runner, metrics)

    def tidy(self, runner, folder: Path) -> None:
        remove_half_written(folder, self.filename_tmpl)
        start = runner.epoch if self.by_epoch else runner.iter
        if start and Path(str(runner._load_from)).resolve().parent == folder.resolve():
            names = runner.message_hub.get_info(REMOVING, [])
            remove_replaced(folder, self.filename_tmpl, names, Path(runner._load_from).name)
        name = f"earlier_{runner.timestamp}"
        moved = set_aside(folder, self.filename_tmpl, start, name)
        if moved:
            runner.logger.warning(
                f"{folder} had checkpoints that this run, which starts at {start}, would "
                f"overwrite: {listing(moved)} moved to {folder / name}"
            )

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        with self.removing_later(runner):
            super()._save_checkpoint_with_step(runner, step, meta)
            if is_main_process() and self.folder_of(runner) is not None:
                with replacing(Path(runner.work_dir) / "last_checkpoint") as work:
                    work.write_text(os.path.relpath(self.last_ckpt, runner.work_dir))

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        with self.removing_later(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def removing_later(self, runner) -> Iterator[None]:
        """Remove old files when the new ones are there; mmengine removes them before.

        The new ones name them, so that a run which is resumed from one can remove what a killed
        run could not.
        """
        backend, hub = self.file_backend, runner.message_hub
        others = hub.get_info(REMOVING, [])  # those of a call around this one
        later: list[tuple[Any, str]] = []

        def note(remove: Callable, path: str) -> None:
            later.append((remove, path))
            hub.update_info(REMOVING, [*others, *(Path(path).name for _, path in later)])

        self.file_backend = copy.copy(backend)
        self.file_backend.remove = partial(note, backend.remove)
        self.file_backend.rmtree = partial(note, backend.rmtree)
        try:
            yield
        finally:
            self.file_backend = backend
            hub.update_info(REMOVING, others)
        for remove, path in later:
            remove(path)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the states of hooks that mmengine leaves out; `Seal` does the rest."""
        hub = checkpoint.get("message_hub")
        if hub is not None:
            states = {key: state_of(hook) for key, hook in stateful(runner)}
            packed = {name: pack(history) for name, history in hub["log_scalars"].items()}
            info = {**hub["runtime_info"], **states, OPTIMIZER: names_of_optimizers(runner)}
            checkpoint["message_hub"] = {**hub, "log_scalars": packed, "runtime_info": info}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Give the runner what it expects of a checkpoint to resume from.

        Raises:
            ValueError: it can not be resumed from.
        """
        if not runner._resume or os.path.isdir(str(runner._load_from)):
            return  # DeepSpeed's checkpoints are folders, which it reads by itself
        problem = what_lacks(checkpoint, self.wanted)
        if problem is None:
            for name, optimizer in optimizers_of(runner).items():
                if not name:
                    merge_saved_groups(checkpoint, runner.model, optimizer)
                saved = checkpoint.get("optimizer") or {}
                compute_as(optimizer, saved.get(name) if name else saved)
            problem = other_optimizer(checkpoint, runner)
        if problem is not None:
            raise ValueError(
                f"{runner._load_from} can not be resumed from: {problem}; load_from starts a new "
                "run from weights"
            )
        hub = checkpoint["message_hub"]
        scalars = {name: unpack(history) for name, history in hub["log_scalars"].items()}
        checkpoint["message_hub"] = {**hub, "log_scalars": scalars}
        ours = getattr(runner.train_dataloader.dataset, "metainfo", None)
        meta = checkpoint["meta"]
        if plain(ours) == plain(meta.get("dataset_meta")):
            meta["dataset_meta"] = ours  # mmengine compares the bytes of the two
        compare_lengths(runner, hub["runtime_info"].get("max_iters"))


class Seal(hooks.Hook):
    """Makes a checkpoint plain and adds its checksums, when all other hooks have had their say."""

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        for name, content in checkpoint.items():
            # What a schedule or an optimizer can not save, it has made in its constructor.
            drop = name in ("optimizer", "param_schedulers")
            checkpoint[name] = plain(content, drop=drop)
        checkpoint[KEY] = stamp(checkpoint)


def compare_lengths(runner, before: int | None) -> None:
    """Say what a run of another length than the checkpoint's does to the schedules."""
    if before is None or before == runner.max_iters:
        return
    schedules = runner.param_schedulers or []
    if isinstance(schedules, dict):
        schedules = [schedule for group in schedules.values() for schedule in group]
    fixed = [s for s in schedules if not type(s).__module__.startswith("mmmaskformer.")]
    text = f"the checkpoint is of a run of {before} iterations, this one has {runner.max_iters}"
    if not fixed:
        runner.logger.info(f"{text}: the learning rate follows the schedule of the new length")
        return
    names = listing(sorted({type(schedule).__name__ for schedule in fixed}))
    runner.logger.warning(
        f"{text}, but the schedule of the learning rate ({names}) keeps its end; the schedules "
        "mmmaskformer.PolyLR, MultiStepLR and WarmupLR would follow the new length"
    )


def pack(history: Any) -> Any:
    """A HistoryBuffer of mmengine as plain data; anything else stays."""
    if not isinstance(history, HistoryBuffer):
        return history
    values, counts = (torch.as_tensor(data, dtype=torch.float64) for data in history.data)
    return dict(values=values, counts=counts, max_length=history.max_length)


def unpack(history: Any) -> Any:
    """The HistoryBuffer that `pack` had; anything else stays."""
    if not isinstance(history, dict) or history.keys() != {"values", "counts", "max_length"}:
        return history
    values, counts = history["values"].cpu().numpy(), history["counts"].cpu().numpy()
    return HistoryBuffer(values, counts, history["max_length"])
