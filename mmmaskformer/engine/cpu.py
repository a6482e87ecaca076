"""Distributed runs without a GPU, which mmengine's launcher does not know."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from ..utils.text import listing

NEEDED = {
    "pytorch": ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "slurm": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}
"""Environment variables that each launcher sets."""
RANK_AND_SIZE = {
    "pytorch": ("RANK", "WORLD_SIZE"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
}


def check_launcher(launcher: str) -> None:
    """Raise ValueError unless the process was started by the launcher."""
    missing = [name for name in NEEDED.get(launcher, ()) if name not in os.environ]
    if missing:
        starter = {"pytorch": "torchrun or tools/dist_train.sh", "slurm": "srun"}
        raise ValueError(
            f"--launcher {launcher}: {missing[0]} is not in the environment; start the tool with "
            f"{starter.get(launcher, 'mpirun')}"
        )
    if launcher in NEEDED:
        check_ranks(launcher)


def check_ranks(launcher: str) -> None:
    """Raise ValueError unless the launcher's numbers name one process of the run: with others, the
    process would wait for peers that never come."""
    numbers = {}
    for name in (n for n in NEEDED[launcher] if not n.startswith("MASTER_ADDR")):
        try:
            numbers[name] = int(os.environ[name])
        except ValueError:
            raise ValueError(
                f"--launcher {launcher}: {name}={os.environ[name]!r} in the environment must be a "
                "whole number"
            ) from None
    rank, size = RANK_AND_SIZE[launcher]
    if not 0 <= numbers[rank] < numbers[size]:
        raise ValueError(
            f"--launcher {launcher}: {rank}={numbers[rank]} in the environment must be at least 0 "
            f"and below {size}={numbers[size]}"
        )


def prepare_cpu_distributed(cfg, flexible: bool = False) -> None:
    """Let a launched run work without a GPU: gloo instead of nccl, no device ids.

    mmengine's own initialisation calls `torch.cuda.set_device`, so the group is made before the
    runner is built, which is mmengine's Runner or, if `flexible`, its FlexibleRunner.
    """
    check_launcher(cfg.launcher)
    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    cfg.merge_from_dict({"env_cfg.dist_cfg.backend": "gloo"})
    wrapper = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    if not flexible:
        cfg.model_wrapper_cfg = wrapper
    else:
        cfg.strategy = cfg.get("strategy") or dict(type="DDPStrategy")
        if cfg.strategy.get("type") == "DDPStrategy":
            cfg.strategy.model_wrapper = {**wrapper, **cfg.strategy.get("model_wrapper", {})}
    if cfg.launcher == "slurm":
        os.environ.setdefault(
            "MASTER_ADDR", os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
        )
        os.environ.setdefault("MASTER_PORT", "29500")
        os.environ["RANK"] = os.environ["SLURM_PROCID"]
        os.environ["LOCAL_RANK"] = os.environ["SLURM_LOCALID"]
        os.environ["WORLD_SIZE"] = os.environ["SLURM_NTASKS"]
    if not distributed.is_initialized():
        with naming_what_it_waits_for(lambda: "its start"):
            distributed.init_process_group("gloo", **time_limit(cfg))
        # A process that leaves with gloo's threads alive is aborted.
        atexit.register(distributed.destroy_process_group)


def replace_sync_batch_norm() -> None:
    """Let SyncBN build batch norm; without a GPU, distributed training refuses SyncBN."""
    import mmcv.ops  # noqa: F401, registers them first
    from mmengine.registry import MODELS
    from torch.nn import BatchNorm2d

    for name in ("SyncBN", "MMSyncBN"):
        MODELS.register_module(name=name, module=BatchNorm2d, force=True)


def time_limit(cfg) -> dict[str, timedelta]:
    """The argument of `init_process_group` for env_cfg.dist_cfg.timeout; torch's without.

    Raises:
        ValueError: it is no positive number of seconds.
    """
    seconds = cfg.env_cfg.dist_cfg.get("timeout")
    if seconds is None:
        return {}
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ValueError(f"env_cfg.dist_cfg.timeout={seconds!r} must be a number of seconds over 0")
    return dict(timeout=timedelta(seconds=seconds))


@contextmanager
def naming_what_it_waits_for(place: Callable[[], str]) -> Iterator[None]:
    """Say for what a process waited when another one ended or did not answer in time.

    Args:
        place: where in its work this process is.

    Raises:
        RuntimeError: with the operation, the place and the other processes.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        if "RANK" not in os.environ or not _is_silence(reason):
            raise
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        others = [other for other in range(size) if other != rank]
        awaited = f"process {others[0]}" if size == 2 else f"one of processes {listing(others)}"
        raise RuntimeError(
            f"process {rank} of {size} waited in {place()} for {_awaited(error)} with {awaited}, "
            "which has ended or does not answer; env_cfg.dist_cfg.timeout sets the limit in "
            f"seconds ({reason})"
        ) from error


def _is_silence(text: str) -> bool:
    signs = ("timed out", "timeout", "closed by peer", "connection reset", "broken pipe")
    return any(sign in text.lower() for sign in signs)


def _awaited(error: BaseException) -> str:
    """The operation of torch.distributed that an error comes from; the backward pass has none."""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.endswith("distributed_c10d.py") and frame.name != "wrapper":
            return frame.name
    return "the sum of the gradients"


def leave_cpu_distributed() -> None:
    """End a process of a finished CPU run here and now, with exit code 0.

    Whoever still holds gloo's group when the interpreter takes itself apart (DDP does) may abort
    it, now and then, after all work is done.
    """
    if not distributed.is_initialized() or distributed.get_backend() != "gloo":
        return
    distributed.barrier()
    distributed.destroy_process_group()
    for child in multiprocessing.active_children():
        child.terminate()
        child.join()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
