"""Runs that are killed and resumed, against the same runs unbroken, to the bit."""

import random
import shutil
import time
from argparse import Namespace

import pytest
from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.registry import HOOKS

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.datasets import shapes
from mmmaskformer.engine.cpu import time_limit
from mmmaskformer.engine.runner import load_config
from tests.engine.runs import log_of, losses, run, start
from tests.engine.traps import (
    KILLED,
    SEED,
    check_equal,
    checkpoints,
    die,
    do_in,
    kill_before_removal,
    kill_in,
    kill_in_validation,
    kill_in_write,
)
from tests.test_tools import CONFIG


def test_a_run_killed_at_any_moment_equals_the_unbroken_one(tmp_path, whole):
    work_dir, one = tmp_path / "run", {"default_hooks.checkpoint.max_keep_ckpts": 1}
    moments = [
        (kill_in(1), []),
        (kill_in(3), ["iter_2.pth"]),
        (kill_in_write(1), ["iter_2.pth"]),
        (kill_before_removal, ["iter_2.pth", "iter_4.pth"]),
        (kill_in_validation, ["iter_4.pth"]),  # which was not over yet; the old one is gone
        (kill_in_write(2), ["iter_6.pth"]),
    ]
    for number, (moment, left) in enumerate(moments):
        seed = SEED if number < 2 else {}  # later, the checkpoint has it
        assert run(work_dir, moment, resume=True, **one, **seed) == [KILLED], log_of(work_dir)
        assert checkpoints(work_dir) == left
    assert [path.name for path in work_dir.glob(".iter*")] != []
    assert run(work_dir, resume=True, **one) == [0], log_of(work_dir)
    assert list(work_dir.glob(".iter*")) == []
    check_equal(work_dir, whole)
    assert checkpoints(work_dir) == ["iter_12.pth"]
    text = log_of(work_dir)
    assert f"resuming from {work_dir / 'iter_6.pth'}, the newest whole" in text
    assert "training goes on with iteration 7; the data that the 6 before it were trained" in text
    assert "Advance dataloader" not in text


@pytest.mark.parametrize(
    "options",
    [
        {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True},
        {"train_dataloader.num_workers": 1, "runner_type": "FlexibleRunner"},
        {"train_cfg.val_interval": 100},
    ],
)
def test_neither_workers_nor_runner_nor_validation_change_a_number(tmp_path, whole, options):
    work_dir = tmp_path / "run"
    assert run(work_dir, kill_in(7), **options, **SEED) == [KILLED], log_of(work_dir)
    assert run(work_dir, resume=True, **options) == [0], log_of(work_dir)
    check_equal(work_dir, whole)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_sampler_that_ends_begins_again_where_it_would_have(tmp_path, workers):
    options = {"train_dataloader.sampler.type": "DefaultSampler", **SEED}
    options |= {"train_dataloader.num_workers": workers, "train_cfg.max_iters": 20}
    assert run(tmp_path / "whole", **options) == [0], log_of(tmp_path / "whole")
    assert run(tmp_path / "run", kill_in(9), **options) == [KILLED]
    assert run(tmp_path / "run", resume=True, **options) == [0], log_of(tmp_path / "run")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


@pytest.mark.parametrize(
    "runner", ["Runner", pytest.param("FlexibleRunner", marks=pytest.mark.slow)]
)
def test_two_processes(tmp_path, runner):
    options = {"runner_type": runner, "env_cfg.dist_cfg.timeout": 20}
    work_dir, whole = tmp_path / "run", tmp_path / "whole"
    assert run(whole, processes=2, **options, **SEED) == [0, 0], log_of(whole)
    assert run(work_dir, kill_in(7), processes=2, **options, **SEED) == [KILLED] * 2
    assert run(work_dir, processes=2, resume=True, **options) == [0, 0], log_of(work_dir)
    for rank in range(2):
        check_equal(work_dir, whole, rank)
    assert losses(whole, 0) != losses(whole, 1)


EARLY = dict(type="EarlyStoppingHook", monitor="score", rule="less")
ONE_CYCLE = dict(type="OneCycleLR", eta_max=0.1, total_steps=14, by_epoch=False)
PLATEAU = dict(type="ReduceOnPlateauLR", monitor="score", rule="less", patience=0)


@HOOKS.register_module()
class StopTwice(EarlyStoppingHook):
    """A user's own, which inherits what it counts."""


@HOOKS.register_module()
class CountIters(Hook):
    """A user's hook that says what it counts."""

    count = 0

    def after_train_iter(self, *args, **kwargs):
        self.count += 1

    def after_train(self, runner):
        runner.logger.info(f"{self.count} iterations were counted")

    def state_dict(self):
        return dict(count=self.count)

    def load_state_dict(self, state):
        self.count = state["count"]


@pytest.mark.parametrize(
    "moment", [pytest.param(kill_in(7), marks=pytest.mark.slow), kill_in_validation]
)
@pytest.mark.parametrize(
    "options",
    [
        {"param_scheduler": [ONE_CYCLE]},
        {"param_scheduler": [PLATEAU], "custom_hooks": [dict(type="EMAHook")]},
        {"custom_hooks": [dict(EARLY, patience=2)]},
        {"custom_hooks": [dict(EARLY, patience=2, type="StopTwice"), dict(type="CountIters")]},
    ],
)
def test_schedules_and_stock_hooks_go_on(tmp_path, options, moment):
    """The last one stops after 12 iterations, having been told so by three validations."""
    options = {**SEED, "train_cfg.max_iters": 14, **options}
    assert run(tmp_path / "whole", **options) == [0], log_of(tmp_path / "whole")
    assert run(tmp_path / "run", moment, **options) == [KILLED]
    assert run(tmp_path / "run", resume=True, **options) == [0], log_of(tmp_path / "run")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert max(losses(tmp_path / "whole")) == (12 if "'patience': 2" in str(options) else 14)
    if "CountIters" in str(options):
        assert "12 iterations were counted" in log_of(tmp_path / "run")


def test_a_resumed_run_loads_no_batch_twice(tmp_path):
    work_dir, notes = tmp_path / "run", tmp_path / "notes"
    options = {"train_dataloader.dataset.notes": str(notes)}
    assert run(work_dir, kill_in(11), **options) == [KILLED]
    notes.unlink()
    assert run(work_dir, resume=True, **options) == [0]
    assert len(notes.read_text().split()) == 2 * 2  # two batches of two


def test_a_longer_run_goes_on_and_says_what_its_schedule_does(tmp_path, whole):
    work_dir = shutil.copytree(whole, tmp_path / "run")
    assert run(work_dir, resume=True) == [0]
    assert "nothing is left to train: the checkpoint has 12 iterations" in log_of(work_dir)
    assert run(work_dir, resume=True, **{"train_cfg.max_iters": 16}) == [0]
    assert sorted(losses(work_dir)) == list(range(1, 17))
    text = (
        "of a run of 12 iterations, this one has 16, but the schedule of the learning rate (PolyLR)"
    )
    assert text in log_of(work_dir)


@pytest.mark.parametrize("action", [die, lambda: time.sleep(100)])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_left_alone_ends_and_says_with_whom_it_waited(tmp_path, action, rank):
    options = {"env_cfg.dist_cfg.timeout": 2}
    runs = start(tmp_path / "run", do_in(3, action, [rank]), processes=2, **options)
    other = 1 - rank
    runs[other].join(30)
    runs[rank].kill()
    assert runs[other].exitcode == 1
    text = log_of(tmp_path / "run", other)
    assert (
        f"RuntimeError: process {other} of 2 waited in iteration 4 for the sum of the gradients "
        f"with process {rank}, which has ended or does not answer; env_cfg.dist_cfg.timeout"
    ) in text


@pytest.mark.parametrize("seconds", [0, -3, "long", True])
def test_time_limits_that_are_none(seconds):
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(timeout=seconds))))
    with pytest.raises(ValueError, match=rf"timeout={seconds!r} must be a number of seconds"):
        time_limit(cfg)


def shapes_config(work_dir, **options):
    """The small model with its dropout and flips, validation in between, few kept checkpoints."""
    data = str(work_dir.parent / "shapes")
    options = {
        "train_dataloader.dataset.data_root": data,
        "val_dataloader.dataset.data_root": data,
        "train_dataloader.batch_size": 1,
        "train_dataloader.num_workers": 1,
        "train_cfg.max_iters": 44,
        "train_cfg.val_interval": 10,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.max_keep_ckpts": 1,
        **options,
    }
    arguments = dict(config=CONFIG, local_rank=0, launcher="none", work_dir=str(work_dir))
    return load_config(Namespace(**arguments, cfg_options=options))


@pytest.mark.long
def test_twenty_kills_at_random_moments(tmp_path, monkeypatch):
    """By the clock: while it starts, reads, trains, writes a checkpoint, or validates."""
    monkeypatch.setattr(shapes, "SPLITS", {"train": 8, "val": 2})
    shapes.make_shapes(tmp_path / "shapes")
    make = dict(make=shapes_config)
    assert run(tmp_path / "whole", **make) == [0], log_of(tmp_path / "whole")
    work_dir, clock, half_written = tmp_path / "run", random.Random(7), 0
    for number in range(20):
        (process,) = start(work_dir, resume=True, **make)
        last = time.monotonic() + clock.uniform(0.5, 15)
        # Not too far, so that there are iterations left for all kills.
        while time.monotonic() < last and most(work_dir) < 2 * number + 4:
            time.sleep(clock.uniform(0, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == KILLED, log_of(work_dir)
        half_written += len(list(work_dir.glob(".iter_*")))
        print(f"killed after iteration {most(work_dir)}", checkpoints(work_dir), half_written)
    assert run(work_dir, resume=True, **make) == [0], log_of(work_dir)
    assert losses(work_dir) == losses(tmp_path / "whole")
    final = [load_checkpoint_file(str(d / "iter_44.pth")) for d in (work_dir, tmp_path / "whole")]
    checksums = [checkpoint["checksum"]["value"] for checkpoint in final]
    for part in ("state_dict", "optimizer"):
        assert checksums[0][part] == checksums[1][part]


def most(work_dir):
    """The highest iteration that has been trained."""
    return max(losses(work_dir)) if (work_dir / "losses0").is_file() else 0
