"""Tiny trainings in processes of their own, with everything that draws random numbers."""

import json
import os
import random
import sys
import time
from types import SimpleNamespace

import matplotlib.pyplot  # noqa: F401  (once, and not in every process)
import numpy as np
import torch
import torch._dynamo
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import loops
from mmengine.runner import runner as mmengine_runner
from torch import distributed, multiprocessing
from torch.utils.data import Dataset

import mmmaskformer  # noqa: F401  (mends the stack)
from mmmaskformer.engine.resuming import use_our_parts
from mmmaskformer.engine.runner import build_runner
from tests.seg.test_distributed import free_port

FORK = multiprocessing.get_context("fork")


@DATASETS.register_module()
class Noise(Dataset):
    """Samples with augmentations from all three generators; notes in a file what it loads."""

    def __init__(self, notes=None):
        self.notes = notes
        self.metainfo = dict(classes=("a", "b"), palette=[[0, 0, 0], [1, 1, 1]])

    def __len__(self):
        return 11

    def __getitem__(self, index):
        if self.notes:
            with open(self.notes, "a") as file:
                file.write(f"{index}\n")
        noise = torch.randn(4) + np.random.rand() + random.random()
        return dict(inputs=noise + index, data_samples=index)


@MODELS.register_module()
class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )

    def forward(self, inputs, data_samples=None, mode="loss"):
        outputs = self.layers(torch.stack(inputs))
        if mode == "loss":
            return dict(loss=(outputs**2).mean())
        return list(outputs)


@METRICS.register_module()
class Score(BaseMetric):
    """Draws random numbers, too, as a validation may; is better each time."""

    def process(self, data_batch, data_samples):
        torch.rand(3), np.random.rand(), random.random()
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=float(MessageHub.get_current_instance().get_info("iter")))


def config(work_dir, **options):
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type="InfiniteSampler", shuffle=True),
        dataset=dict(type="Noise"),
    )
    cfg = Config(
        dict(
            model=dict(type="Net"),
            work_dir=str(work_dir),
            train_dataloader=loader,
            val_dataloader=dict(loader, sampler=dict(type="DefaultSampler", shuffle=False)),
            val_evaluator=dict(type="Score"),
            val_cfg=dict(),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=12, val_interval=4),
            optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.01)),
            param_scheduler=[dict(type="PolyLR", eta_min=0.0, end=13, by_epoch=False)],
            default_hooks=dict(
                checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2),
                logger=dict(type="LoggerHook", interval=1),
                param_scheduler=dict(type="ParamSchedulerHook"),
            ),
            log_processor=dict(by_epoch=False, window_size=3),
            env_cfg=dict(dist_cfg=dict(backend="nccl")),
            launcher="none",
            default_scope="mmengine",
            experiment_name=f"run{time.time_ns()}",
        )
    )
    cfg.merge_from_dict(options)
    use_our_parts(cfg)
    return cfg


class Record(Hook):
    """Appends iteration and loss, all digits, to a file of this process."""

    def __init__(self, path):
        self.path = path

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with open(self.path, "a") as file:
            file.write(json.dumps([runner.iter + 1, outputs["loss"].item()]) + "\n")


def train(work_dir, prepare=None, rank=0, port=None, make=config, **options):
    """Train in this process; `prepare(runner, rank)` may put traps."""
    torch.set_num_threads(1)
    np.random.seed()  # a run without a seed in its config draws one
    mmengine_runner.collect_env = dict  # which takes seconds
    Config.pretty_text = ""
    loops.time = SimpleNamespace(sleep=lambda seconds: None)
    work_dir.mkdir(parents=True, exist_ok=True)
    if port is not None:
        address = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2")
        os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank))
        options = {"launcher": "pytorch", **options}
    runner = build_runner(make(work_dir, **options))
    runner.register_hook(Record(work_dir / f"losses{rank}"))
    if prepare is not None:
        prepare(runner, rank)
    runner.train()
    if port is not None:
        distributed.barrier()
    return runner


def _child(work_dir, prepare, rank, port, options):
    code = 1
    with open(work_dir.parent / f"{work_dir.name}.log{rank}", "a") as log:
        sys.stdout = sys.stderr = log
        try:
            train(work_dir, prepare, rank, port, **options)
            code = 0
        except BaseException as error:
            log.write(f"\n{type(error).__name__}: {error}\n")
        finally:
            log.flush()
            os._exit(code)


def start(work_dir, prepare=None, processes=1, **options):
    """Start a training in `processes` forked processes."""
    port = free_port() if processes > 1 else None
    runs = [
        FORK.Process(target=_child, args=(work_dir, prepare, rank, port, options))
        for rank in range(processes)
    ]
    for run in runs:
        run.start()
    return runs


def run(work_dir, prepare=None, processes=1, **options):
    """Train in forked processes until they end; exit codes, negative for a signal."""
    runs = start(work_dir, prepare, processes, **options)
    limit = time.monotonic() + 500
    # join() would wait for the orphaned workers of killed processes, too.
    while time.monotonic() < limit and any(process.exitcode is None for process in runs):
        time.sleep(0.01)
    for process in runs:
        if process.exitcode is None:
            process.kill()
    return [process.exitcode for process in runs]


def log_of(work_dir, rank=0):
    return (work_dir.parent / f"{work_dir.name}.log{rank}").read_text()


def losses(work_dir, rank=0):
    """All losses that were ever computed for each iteration."""
    found = {}
    for line in (work_dir / f"losses{rank}").read_text().splitlines():
        iteration, loss = json.loads(line)
        found.setdefault(iteration, set()).add(loss)
    return found
