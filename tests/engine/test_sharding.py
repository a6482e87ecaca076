"""ZeroRedundancyOptimizer and FlexibleRunner with its strategies, in two CPU processes, against the
plain Runner."""

import json
import os
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner
from packaging.version import Version
from torch import distributed, multiprocessing

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.datasets import shapes
from mmmaskformer.engine.runner import build_runner, load_config, runner_class
from mmmaskformer.engine.sharding import FSDPStrategy
from tests.seg.test_distributed import free_port
from tests.test_tools import CONFIG

FSDP = {"runner_type": "FlexibleRunner", "strategy.type": "mmmaskformer.FSDPStrategy"}
ZERO = {
    "optim_wrapper.optimizer.type": "ZeroRedundancyOptimizer",
    "optim_wrapper.optimizer.optimizer_type": "AdamW",
    "default_hooks.checkpoint.save_optimizer": False,
}
WITHOUT_A_GPU = Version(torch.__version__).release >= (2, 4)
"""Whether torch's FSDP works on a CPU; that of torch 2.3 asks for a GPU."""
RUNS = [
    ("plain", 3, {}),
    ("zero", 3, ZERO),
    ("ddp", 3, {"runner_type": "FlexibleRunner"}),
]
if WITHOUT_A_GPU:
    RUNS += [("fsdp", 2, FSDP), ("fsdp", 3, {**FSDP, "resume": True})]


def train(rank, port, folder):
    """Every run; SyncBN, which a CPU can not train, must become BN."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    torch.set_num_threads(1)
    for name, iterations, settings in RUNS:
        options = {
            "train_dataloader.dataset.data_root": str(folder / "shapes"),
            "val_dataloader.dataset.data_root": str(folder / "shapes"),
            "train_dataloader.batch_size": 1,
            "train_cfg.max_iters": iterations,
            "param_scheduler.PolyLR.end": 400,  # one schedule, also where the run is interrupted
            "default_hooks.logger.interval": 1,
            "default_hooks.checkpoint.interval": iterations,
            "visualizer.name": f"{name}{iterations}",  # a singleton, which writes the log
            "model.backbone.norm_cfg.type": "SyncBN",
            "model.decode_head.transformer_decoder.num_layers": 1,
            **settings,
        }
        arguments = dict(config=CONFIG, local_rank=rank, launcher="pytorch")
        cfg = load_config(Namespace(**arguments, work_dir=str(folder / name), cfg_options=options))
        build_runner(cfg).train()
    distributed.barrier()
    os._exit(0)  # as tools/train.py ends: DDP still holds the group


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the work-dirs of all runs, on a tiny `shapes` dataset."""
    folder = tmp_path_factory.mktemp("strategies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SPLITS", {"train": 8, "val": 2})
        shapes.make_shapes(folder / "shapes")
    arguments = (free_port(), folder)
    multiprocessing.start_processes(train, arguments, nprocs=2, start_method="forkserver")
    return folder


def log_of(work_dir):
    """Gradient norm and loss of iterations 1, 2, 3."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    records = {record["iter"]: record for record in records if "loss" in record}
    assert sorted(records) == [1, 2, 3]
    return np.array([[records[i]["grad_norm"], records[i]["loss"]] for i in (1, 2, 3)])


def weights_of(work_dir):
    state_dict = load_checkpoint_file(work_dir / "iter_3.pth")["state_dict"]
    return {name.removeprefix("module."): value for name, value in state_dict.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "zero",
        "ddp",
        pytest.param(
            "fsdp",
            marks=pytest.mark.skipif(not WITHOUT_A_GPU, reason="FSDP of torch 2.3 asks for a GPU"),
        ),
    ],
)
def test_strategies_equal_the_plain_runner(trained, name):
    """FSDP's second loss shows clipping by the whole norm; its third, after --resume, that the
    optimizer's state came back."""
    np.testing.assert_allclose(log_of(trained / name), log_of(trained / "plain"), rtol=1e-4)
    found, wanted = weights_of(trained / name), weights_of(trained / "plain")
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-5, err_msg=key)


def test_files_per_process_are_refused(tmp_path):
    with pytest.raises(ValueError, match="strategy.state_dict_cfg='local' is not supported"):
        FSDPStrategy(
            state_dict_cfg="local", work_dir=str(tmp_path), env_kwargs=dict(launcher="none")
        )


def test_runners_by_name():
    assert runner_class(Config()) is Runner
    assert runner_class(Config(dict(runner_type="FlexibleRunner"))) is FlexibleRunner


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            dict(runner_type="Flexible"),
            "runner_type='Flexible': no such runner is registered; known: .*FlexibleRunner.*Runner",
        ),
        (
            dict(strategy=dict(type="DDPStrategy")),
            "strategy: runner_type='Runner' does not read it; FlexibleRunner does",
        ),
        (
            dict(runner_type="FlexibleRunner", sync_bn="torch"),
            "sync_bn: runner_type='FlexibleRunner' does not read it; set it in strategy",
        ),
    ],
)
def test_what_a_runner_does_not_read_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        runner_class(Config(settings))
