"""What the stock OpenMMLab stack needs on today's torch; does nothing where nothing is needed.

* `mmcv._ext`: mmdet and mmseg import mmcv's compiled ops everywhere. Without the full mmcv a
  placeholder lets them import; calling an op raises an error that names it.
* Checkpoints: torch >= 2.6 refuses mmengine's own. They are read with an unpickler that admits
  tensors, numpy arrays, plain containers and mmengine's log history, and nothing else.
* Distributed runs on CPU: gloo, before mmengine's launcher asks for CUDA.
"""

from __future__ import annotations

import atexit
import importlib.machinery
import importlib.metadata
import importlib.util
import logging
import multiprocessing
import os
import pickle
import sys
import types

from .checkpoints.pickles import ArrayUnpickler, CheckpointUnpickler
from .engine.dependencies import ANY_OF, MMCV, REQUIRED


def check_dependencies() -> None:
    """Raise one ImportError with the command that mends every missing or unfit dependency."""
    from packaging.version import Version

    problems, command = [], []
    for name, bounds in {**REQUIRED, "mmcv": MMCV}.items():
        options = (name, *ANY_OF.get(name, ()))
        found = [v for v in map(_installed_version, options) if v is not None]
        if any(Version(v.split("+")[0]) in _specifier(bounds) for v in found):
            continue
        have = f"found {', '.join(found)}" if found else "not installed"
        problems.append(f"{name}{bounds} ({have})")
        command.append(f"'{ANY_OF[name][0] if name == 'mmcv' else name}{bounds}'")
    if problems:
        raise ImportError(
            f"mmmaskformer needs {'; '.join(problems)}. Run: pip install {' '.join(command)}"
        )


def _specifier(bounds: str):
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(bounds, prereleases=True)


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def provide_mmcv_ext() -> None:
    """Put a placeholder under `mmcv._ext` where mmcv has no compiled ops."""
    if "mmcv._ext" in sys.modules or importlib.util.find_spec("mmcv._ext") is not None:
        return

    def missing(name: str):
        def op(*args, **kwargs):
            raise RuntimeError(
                f"the compiled op mmcv.ops '{name}' is not available: mmcv-lite is installed. "
                "Install the full package: pip uninstall -y mmcv-lite && pip install 'mmcv"
                f"{MMCV}' (see https://mmcv.readthedocs.io for prebuilt wheels)"
            )

        return op

    placeholder = types.ModuleType("mmcv._ext", "Placeholder for mmcv's compiled ops.")

    def lookup(name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return missing(name)

    placeholder.__getattr__ = lookup
    # A spec without a loader: mmengine's mmcv_full_available() then says no.
    placeholder.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
    sys.modules["mmcv._ext"] = placeholder


def load_pickle_file(filename: str | os.PathLike):
    """A pickle of numpy arrays and plain containers, as Detectron2 writes its `.pkl` files.

    Raises:
        RuntimeError: the file is damaged, or holds anything else, which could run code.
    """
    with open(filename, "rb") as file:
        try:
            # Files from Python 2 hold their bytes as text.
            return ArrayUnpickler(file, encoding="latin1").load()
        except pickle.UnpicklingError as error:
            if "it asks" not in str(error):
                raise RuntimeError(f"{filename} is damaged or incomplete: {error}") from error
            raise RuntimeError(
                f"{filename} is refused: {error}, which is neither a numpy array nor a plain "
                "container and could run code"
            ) from error
        except Exception as error:
            raise RuntimeError(
                f"{filename} can not be read ({type(error).__name__}: {error}); it is damaged, "
                "incomplete, or no pickle"
            ) from error


def load_checkpoint_file(filename: str, map_location=None):
    """`torch.load` for checkpoints of torch, mmengine and the model zoos, without running code.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: the file is damaged, or holds objects that could run code.
    """
    import torch

    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"checkpoint {filename} can not be found")
    if _is_torchscript(path):
        raise RuntimeError(
            f"checkpoint {filename} is refused: it is a TorchScript archive, which holds code"
        )
    pickle_module = types.ModuleType("mmmaskformer_pickle")
    pickle_module.Unpickler = CheckpointUnpickler
    pickle_module.load = lambda file, **kwargs: CheckpointUnpickler(file, **kwargs).load()
    try:
        return torch.load(
            path, map_location=map_location, pickle_module=pickle_module, weights_only=False
        )
    except pickle.UnpicklingError as error:
        raise RuntimeError(
            f"checkpoint {filename} is refused: {error}, which is neither a tensor nor plain "
            "data and could run code. If you trust its source, load it with "
            "torch.load(weights_only=False) and save its 'state_dict' alone"
        ) from error
    except Exception as error:
        raise RuntimeError(
            f"checkpoint {filename} can not be read ({type(error).__name__}: {error}); it is "
            "damaged, incomplete, or no torch checkpoint"
        ) from error


def _is_torchscript(path: str) -> bool:
    """Whether `torch.load` would hand the file to `torch.jit.load`, in the eyes of its reader."""
    import torch

    try:
        records = torch._C.PyTorchFileReader(path).get_all_records()
    except Exception:  # no zip archive, or a damaged one, which torch.load will tell
        return False
    return "constants.pkl" in records


def use_safe_checkpoint_loading() -> None:
    """Make mmengine read local and downloaded checkpoints with `load_checkpoint_file`."""
    from mmengine.dist import barrier, get_local_rank
    from mmengine.runner import checkpoint

    def load_from_local(filename, map_location=None):
        return load_checkpoint_file(filename, map_location)

    def load_from_http(filename, map_location=None, model_dir=None, progress=True):
        import torch

        folder = model_dir or os.path.join(torch.hub.get_dir(), "checkpoints")
        path = os.path.join(folder, os.path.basename(filename.split("?")[0]))

        if get_local_rank() == 0 and not os.path.isfile(path):  # once per machine
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(filename, path, progress=progress)
        barrier()
        return load_checkpoint_file(path, map_location)

    loaders = {"": load_from_local, ("http://", "https://"): load_from_http}
    for prefixes, loader in loaders.items():
        checkpoint.CheckpointLoader.register_scheme(prefixes, loader, force=True)
    # mmengine's other schemes ("open-mmlab://") call this by name.
    checkpoint.load_from_http = load_from_http


def prepare_cpu_distributed(cfg, flexible: bool = False) -> None:
    """Let a launched run work without a GPU: gloo instead of nccl, no device ids.

    mmengine's own initialisation calls `torch.cuda.set_device`, so the group is made before the
    runner is built, which is mmengine's Runner or, if `flexible`, its FlexibleRunner.
    """
    import torch
    from torch import distributed

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
        distributed.init_process_group("gloo")
        # A process that leaves with gloo's threads alive is aborted.
        atexit.register(distributed.destroy_process_group)


def replace_sync_batch_norm() -> None:
    """Let SyncBN build batch norm; without a GPU, distributed training refuses SyncBN."""
    import mmcv.ops  # noqa: F401, registers them first
    from mmengine.registry import MODELS
    from torch.nn import BatchNorm2d

    for name in ("SyncBN", "MMSyncBN"):
        MODELS.register_module(name=name, module=BatchNorm2d, force=True)


def leave_cpu_distributed() -> None:
    """End a process of a finished CPU run here and now, with exit code 0.

    Whoever still holds gloo's group when the interpreter takes itself apart (DDP does) may abort
    it, now and then, after all work is done.
    """
    from torch import distributed

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


def apply() -> None:
    """Check the dependencies and mend the stack; idempotent."""
    check_dependencies()
    provide_mmcv_ext()
    use_safe_checkpoint_loading()
