"""Two gloo processes against one, and against the original's two-process numbers."""

import os
import socket

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from mmmaskformer import core
from mmmaskformer.core.criterion import start_mean_segments
from mmmaskformer.engine.cpu import check_launcher
from tests.core.test_criterion_reference import check_case
from tests.reference import load


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(rank, port, function, *args):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    function(rank, *args)
    distributed.destroy_process_group()


def run_two(function, *args):
    port = free_port()
    multiprocessing.start_processes(
        start, (port, function, *args), nprocs=2, start_method="forkserver"
    )


def check_rank(rank, name):
    check_case(load("criterion_small")["two_processes"][name][f"rank{rank}"])


@pytest.mark.parametrize(
    "name", ["two_ranks_3_and_9", "two_ranks_5_and_0", "two_ranks_1_and_0", "two_ranks_0_and_0"]
)
def test_original_numbers_of_two_processes(name):
    run_two(check_rank, name)


class Network(torch.nn.Module):
    """A predictor and its losses, in one module for DDP."""

    def __init__(self):
        super().__init__()
        self.predictor = core.MaskFormerPredictor(
            core.FPNPixelDecoder([8, 16], channels=16, mask_channels=8, norm_groups=4),
            core.TransformerDecoder(
                16, num_layers=2, num_heads=2, feedforward_channels=32, dropout=0.0
            ),
            num_classes=5,
            num_queries=6,
            mask_channels=8,
        )
        self.criterion = core.MaskFormerCriterion()

    def forward(self, features, labels):
        targets = [core.segments_from_semantic(image, 5) for image in labels]
        mean_segments = start_mean_segments(targets, features[0].device)
        return self.criterion(self.predictor(features), targets, mean_segments)


def batch():
    torch.manual_seed(3)
    features = [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)]
    # Three classes in both images: with unequal numbers the class loss is a weighted mean per
    # process, in the original as well, and the mean of means is not the mean.
    labels = torch.stack([torch.randint(0, 3, (32, 32)), torch.randint(2, 5, (32, 32))])
    return features, labels


def train_rank(rank, path):
    torch.manual_seed(0)
    network = DistributedDataParallel(Network().train())
    features, labels = batch()
    inputs = [f[rank : rank + 1] for f in features], labels[rank : rank + 1]
    with network.no_sync():  # accumulates half of the gradient
        sum(network(*inputs).values()).div(2).backward()
    losses = network(*inputs)
    sum(losses.values()).div(2).backward()
    values = torch.stack([losses[name].detach() for name in sorted(losses)])
    distributed.all_reduce(values)
    if rank == 0:
        grads = {name: p.grad for name, p in network.module.named_parameters()}
        torch.save({"losses": values / 2, "grads": grads}, path)


def test_two_processes_equal_one(tmp_path):
    path = str(tmp_path / "two.pt")
    run_two(train_rank, path)
    two = torch.load(path, weights_only=True)
    torch.manual_seed(0)
    network = Network().train()
    losses = network(*batch())
    sum(losses.values()).backward()
    one = torch.stack([losses[name].detach() for name in sorted(losses)])
    torch.testing.assert_close(two["losses"], one, rtol=1e-5, atol=1e-6)
    for name, parameter in network.named_parameters():
        scale = parameter.grad.abs().max().item()
        torch.testing.assert_close(
            two["grads"][name], parameter.grad, rtol=1e-4, atol=1e-4 * scale + 1e-8
        )


@pytest.mark.parametrize(
    ("launcher", "environment", "message"),
    [
        ("pytorch", dict(RANK="abc", WORLD_SIZE="2"), "RANK='abc' in the environment must be a wh"),
        ("pytorch", dict(RANK="2", WORLD_SIZE="2"), "RANK=2 .* at least 0 and below WORLD_SIZE=2"),
        ("pytorch", dict(RANK="0", WORLD_SIZE="1", MASTER_PORT="x"), "MASTER_PORT='x' in the env"),
        ("slurm", dict(SLURM_PROCID="-1", SLURM_NTASKS="2", SLURM_LOCALID="0"), "PROCID=-1 .* at"),
        (
            "mpi",
            dict(
                OMPI_COMM_WORLD_RANK="4", OMPI_COMM_WORLD_SIZE="4", OMPI_COMM_WORLD_LOCAL_RANK="0"
            ),
            "OMPI_COMM_WORLD_RANK=4 in",
        ),
    ],
)
def test_ranks_that_would_wait_for_nobody(monkeypatch, launcher, environment, message):
    defaults = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
    for name, value in {**defaults, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^--launcher {launcher}: .*{message}"):
        check_launcher(launcher)


def test_a_process_of_two_may_start(monkeypatch):
    environment = dict(RANK="1", WORLD_SIZE="2", MASTER_ADDR="a.b", MASTER_PORT="29500")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check_launcher("pytorch")
    check_launcher("none")
